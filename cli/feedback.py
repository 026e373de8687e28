"""`perennial feedback import`: import correct labels that arrive later, from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.help import WholeLines
from cli.output import FAILED, Json, output

SHOWN = 20
File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="CSV or JSON lines: request_id, label, author and, optionally, received_at.",
    ),
]
NewLabels = Annotated[
    bool, typer.Option("--new-labels", help="Accept labels that no champion knows yet.")
]


def register(app: typer.Typer) -> None:
    """Add `feedback import`."""
    group = typer.Typer(
        cls=WholeLines,
        help="Import correct labels that arrive later.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.callback()(lambda: None)  # keeps `import` a command of its own
    group.command("import", epilog="Example: perennial feedback import fixes.csv")(import_file)
    app.add_typer(group, name="feedback")


def import_file(file: File, new_labels: NewLabels = False, json: Json = False) -> None:
    """Import feedback from a file.

    Keeps the valid rows, and reports refused rows with their reasons. Exit code 1 when any row is
    refused.
    """
    from core.database import connect, open_database
    from core.settings import load_settings
    from monitoring.feedback import import_feedback
    from operations.known_labels import known_labels

    out = output()
    with open_database(load_settings()) as urls, out.working(f"importing {file}"):
        engine = connect(urls.perennial)
        with engine.begin() as connection:
            labels = None if new_labels else known_labels(connection, report=out.say)
            counts = import_feedback(connection, file, labels=labels)
        engine.dispose()
    out.result(
        counts,
        f"{counts.accepted} accepted, {counts.repeated} already known, {counts.refused} refused",
    )
    for refusal in counts.refusals[:SHOWN]:
        out.say(f"row {refusal.row}: {refusal.reason}")
    if counts.refused:
        raise typer.Exit(FAILED)
