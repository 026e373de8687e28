"""feedback import: right labels that arrive later, from a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import FAILED, Json, Output, output
from core.errors import HeadRefused

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

SHOWN = 20
File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="CSV or JSON lines: request_id, label, author, optionally received_at."
    ),
]
NewLabels = Annotated[
    bool, typer.Option("--new-labels", help="Keep labels that the answering versions do not know.")
]


def register(app: typer.Typer) -> None:
    """Add `feedback import`."""
    group = typer.Typer(
        help="Right labels that arrive later.", no_args_is_help=True, rich_markup_mode=None
    )
    group.callback()(lambda: None)  # keeps `import` a command of its own
    group.command("import", epilog="Example: perennial feedback import fixes.csv")(import_file)
    app.add_typer(group, name="feedback")


def import_file(file: File, new_labels: NewLabels = False, json: Json = False) -> None:
    """Keep the good rows, refuse the others by row and reason; exit code 1 when any is refused."""
    from core.database import connect, open_database
    from core.settings import load_settings
    from monitoring.feedback import import_feedback

    out = output()
    with open_database(load_settings()) as urls, out.working(f"importing {file}"):
        engine = connect(urls.perennial)
        with engine.begin() as connection:
            counts = import_feedback(
                connection, file, labels=None if new_labels else _known_labels(connection, out)
            )
        engine.dispose()
    out.result(
        counts,
        f"{counts.accepted} accepted, {counts.repeated} known already, {counts.refused} refused",
    )
    for refusal in counts.refusals[:SHOWN]:
        out.say(f"row {refusal.row}: {refusal.reason}")
    if counts.refused:
        raise typer.Exit(FAILED)


def _known_labels(connection: Connection, out: Output) -> Mapping[str, frozenset[str]]:
    """Labels of every champion whose head can be read; a damaged one refuses nobody's feedback."""
    from core.deployments import current_champions
    from pipelines.model.head_file import load_head

    known: dict[str, frozenset[str]] = {}
    for name, row in current_champions(connection).items():
        try:
            known[name] = frozenset(load_head(Path(row.model.head_location)).labels)
        except HeadRefused as error:
            out.say(f"labels of {name} are not checked: {error}")
    return known
