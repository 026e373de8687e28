"""`perennial open` and `logs`: the pages and the logs of the programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import Json, output

if TYPE_CHECKING:
    from core.settings import Settings

COMMANDS_WITH_LOGS = ("demo", "retrain", "watch", "supervisord")
Page = Annotated[
    str,
    typer.Argument(
        help="console, prefect, mlflow, evidently, service, or the name of a classifier."
    ),
]
ProgramName = Annotated[
    str,
    typer.Argument(
        metavar="PROGRAM",
        help="A program of `perennial status`, or demo, retrain, watch or supervisord.",
    ),
]
Lines = Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines.")]


def register(app: typer.Typer) -> None:
    """Add `open` and `logs`."""
    app.command("open", epilog="Example: perennial open mlflow")(open_page)
    app.command(epilog="Example: perennial logs retrain --lines 100")(logs)


def open_page(page: Page, json: Json = False) -> None:
    """Open a page in the browser, and print its address.

    For a classifier: its versions in MLflow.
    """
    import webbrowser

    from core.settings import load_settings

    address = _address(load_settings(), page)
    opened = bool(webbrowser.open(address))
    output().result({"address": address, "opened": opened}, address)


def logs(program: ProgramName, lines: Lines = 40, json: Json = False) -> None:
    """Print the newest lines of a program's log."""
    from core.errors import UsageError
    from core.settings import load_settings
    from machine.startup import tail
    from machine.supervision import log_file

    settings = load_settings()
    known = _programs(settings)
    if program not in known:
        raise UsageError(
            "the name of a program", came=program, do=f"name one of {', '.join(known)}"
        )
    file = log_file(settings, program)
    text = tail(file, lines=lines)
    output().result({"log": file, "lines": text.splitlines()}, [text, f"({file})"])


def _programs(settings: Settings) -> list[str]:
    from machine.programs import list_programs

    return [*(program.name for program in list_programs(settings)), *COMMANDS_WITH_LOGS]


def _address(settings: Settings, page: str) -> str:
    from core.errors import UsageError
    from core.params.schema import load_params
    from machine.programs import list_programs

    pages = {program.name: program.url for program in list_programs(settings) if program.url}
    if page in pages:
        return pages[page]
    classifiers = load_params(settings.repository / "params.yaml").classifiers
    if page in classifiers:
        return f"{settings.mlflow_url}/#/models/{page}"
    raise UsageError(
        "the name of a page", came=page, do=f"name one of {', '.join([*pages, *classifiers])}"
    )
