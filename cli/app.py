"""The `perennial` command line. Heavy packages are imported only when a command runs."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from cli import (
    answers,
    cards,
    classify,
    console,
    errors,
    explain,
    feedback,
    flow,
    history,
    line_blocks,
    lineage,
    look,
    machine,
    notify,
    performance,
    pins,
    queue,
    rollout,
    setup,
    simulate,
    sizing,
    status,
    suspects,
    tune,
    users,
)
from cli.help import GROUPS, WholeLines, version
from cli.output import INTERRUPTED, Json, exit_code, new_output
from core.errors import PerennialError
from core.inherited_environment import keep_inherited
from flows.outages import name_outage


class Perennial(WholeLines):
    """Turns errors into exit codes: 1 failed, 2 misuse, 3 negative verdict, 130 interrupted."""

    groups = GROUPS

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, standalone_mode: bool = True, **extra: Any
    ) -> Any:
        code = self._run(args, **extra)
        if standalone_mode:
            sys.exit(code)
        return code

    def _run(self, args: Sequence[str] | None, **extra: Any) -> int:
        out = new_output()
        try:
            code = super().main(args, standalone_mode=False, **extra) or 0
        except PerennialError as error:
            out.error(error)
            return exit_code(error)
        except typer.Abort:  # Ctrl-C or Ctrl-D at a question
            code = INTERRUPTED
        except typer.TyperException as error:
            out.misuse(error)
            return error.exit_code
        except Exception as error:
            outage = name_outage(error)
            if outage is None:
                raise
            out.error(outage)
            return exit_code(outage)

        if code == INTERRUPTED:
            out.say("interrupted")
        return code


app = typer.Typer(
    cls=Perennial,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Phrase classifiers that keep themselves fresh.",
    epilog=(
        "Exit codes: 0 success, 1 failure, 2 misuse, 3 negative verdict. "
        "`perennial COMMAND --help` shows an example."
    ),
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"perennial {version()}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version."),
]


@app.callback()
def perennial(json: Json = False, print_version: Version = False) -> None:
    """Refuse misspelt settings and configure logging before any command runs."""
    from core.logs import configure_logs
    from core.setting_names import refuse_misspelt
    from core.settings import load_settings

    refuse_misspelt(os.environ)
    configure_logs(load_settings().log_format)


COMMANDS = (
    machine,
    status,
    look,
    console,
    users,
    setup,
    line_blocks,
    flow,
    history,
    suspects,
    tune,
    simulate,
    classify,
    explain,
    errors,
    cards,
    answers,
    performance,
    queue,
    feedback,
    pins,
    rollout,
    lineage,
    sizing,
    notify,
)
for commands in COMMANDS:
    commands.register(app)


def main() -> None:
    """Run the command with this machine's variables and those of Perennial alone."""
    of_commits = keep_inherited(os.environ)
    atexit.register(silence_duckdb)  # the first to register is the last to run
    app(obj=of_commits)


def silence_duckdb() -> None:
    """Close standard error at the end of a process that used DuckDB.

    Its binding writes 40 lines about "leaked" objects beside libraries that keep references.
    """
    if "_duckdb" in sys.modules:
        sys.stderr.flush()
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)


if __name__ == "__main__":
    main()
