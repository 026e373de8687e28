"""`perennial errors`: the error report of a version."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.output import Json, output

Version = Annotated[
    str | None, typer.Argument(help="A version, promoted or not. By default, the champion.")
]


def register(app: typer.Typer) -> None:
    """Add `errors`."""
    app.command(epilog="Example: perennial errors block 3")(errors)


def errors(
    classifier: Annotated[str, typer.Argument(help="A trained classifier.")],
    version: Version = None,
    json: Json = False,
) -> None:
    """Summarise the error report of a version, and print the path of its page.

    The page has confused pairs, the worst labels, patterns of the mistakes, the learning curve and
    every label. Each retraining writes one.
    """
    from core.settings import load_settings
    from pipelines.errors.files import PAGE, read_report
    from pipelines.errors.summary import summary_lines
    from pipelines.model_store import ERRORS, stored_version

    number = version or _champion(classifier)
    stored = stored_version(load_settings().models, classifier=classifier, version=number)
    folder = Path(stored.head_location) / ERRORS
    report = read_report(folder)
    if report is None:
        raise _no_report(classifier, number)
    page = folder / PAGE
    lines = [
        f"{classifier} version {number}:",
        *(f"  {line}" for line in summary_lines(report)),
        f"page: {page}",
    ]
    output().result({"version": number, "page": str(page), "report": report}, lines)


def _champion(classifier: str) -> str:
    from cli.context import command_context

    with command_context() as context:
        return context.champion_version(classifier)


def _no_report(classifier: str, version: str) -> Exception:
    from core.errors import UnknownVersion

    return UnknownVersion(
        f"the error report of version {version} of {classifier}",
        came="none: an earlier release made the version, or its files were restored without it",
        do=f"retrain it: `perennial retrain {classifier}`",
    )
