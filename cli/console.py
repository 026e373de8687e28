"""`perennial console`: the pages for people, without the other programs."""

from __future__ import annotations

import typer

from cli.context import command_context
from cli.output import Json, output


def register(app: typer.Typer) -> None:
    """Add `console`."""
    app.command(epilog="Example: PERENNIAL_CONSOLE_PORT=8600 perennial console")(console)


def console(json: Json = False) -> None:
    """Serve the console in the foreground until Ctrl-C or SIGTERM.

    `perennial up` serves it too.
    """
    with command_context() as context:
        from console.server import serve_console  # imports Prefect, which reads its environment

        output().say(f"console: {context.settings.console_url}")
        serve_console(context)
