"""`perennial feedback`: exports tasks for other labelling tools, and imports their labels."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.context import command_context
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
Format = Literal["csv", "jsonl", "label-studio", "doccano", "prodigy"]
ImportFormat = Annotated[
    Format | None,
    typer.Option("--format", help="FILE holds tasks; those without a label are left out."),
]
ExportFormat = Annotated[Format, typer.Option("--format", help="What the labelling tool reads.")]
Author = Annotated[
    str | None, typer.Option(help="Who labelled, when the file of tasks does not say.")
]
Classifier = Annotated[str, typer.Argument(help="A classifier of params.yaml.")]
Labels = Annotated[bool, typer.Option("--labels", help="The newest labels instead of tasks.")]
Limit = Annotated[int, typer.Option(min=1, help="How many, newest first.")]


def register(app: typer.Typer) -> None:
    """Add `feedback import` and `feedback export`."""
    group = typer.Typer(
        cls=WholeLines,
        help="Import correct labels that arrive later; export answers to label.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command("import", epilog="Example: perennial feedback import fixes.csv")(import_file)
    group.command(
        "export", epilog="Example: perennial feedback export block --format prodigy > tasks.jsonl"
    )(export)
    app.add_typer(group, name="feedback")


def import_file(
    file: File,
    new_labels: NewLabels = False,
    format: ImportFormat = None,
    author: Author = None,
    json: Json = False,
) -> None:
    """Import feedback from a file.

    Keeps the valid rows, and reports refused rows with their reasons. Exit code 1 when any row is
    refused.
    """
    from core.database import connect, open_database
    from core.settings import load_settings
    from monitoring.labels.feedback import import_lines
    from monitoring.labels.feedback_file import read_feedback_file, read_labels
    from operations.known_labels import known_labels

    out = output()
    with open_database(load_settings()) as urls, out.working(f"importing {file}"):
        engine = connect(urls.perennial)
        with engine.begin() as connection:
            labels = None if new_labels else known_labels(connection, report=out.say)
            lines = read_labels(file, format, author=author) if format else read_feedback_file(file)
            counts = import_lines(connection, lines, labels=labels)
        engine.dispose()
    left_out = f", {counts.unlabelled} not labelled yet" if counts.unlabelled else ""
    out.result(
        counts,
        f"{counts.accepted} accepted, {counts.repeated} already known, {counts.refused} refused"
        + left_out,
    )
    for refusal in counts.refusals[:SHOWN]:
        out.say(f"row {refusal.row}: {refusal.reason}")
    if counts.refused:
        raise typer.Exit(FAILED)


def export(
    classifier: Classifier,
    format: ExportFormat = "csv",
    labels: Labels = False,
    limit: Limit = 1000,
    json: Json = False,
) -> None:
    """Print the newest unlabelled answers, one per phrase.

    Label them in another tool, then `perennial feedback import FILE --format FORMAT`.
    """
    with command_context() as context:
        from monitoring.tasks.formats import write_tasks
        from monitoring.tasks.from_log import labels_given, tasks_to_label
        from operations.known_labels import known_labels

        context.params.classifier(classifier)
        read = labels_given if labels else tasks_to_label
        with context.engine.connect() as connection:
            tasks = read(connection, classifier, limit=limit)
            known = known_labels(connection, report=output().say).get(classifier, ())
    for part in write_tasks(tasks, format, labels=sorted(known)):
        sys.stdout.write(part)
