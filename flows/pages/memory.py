"""The page of a renewed memory: the phrases whose label changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prefect.artifacts import create_markdown_artifact

from core.contracts import Verdict
from flows.context import LoopContext
from flows.memory import NewRevision, describe_renewal
from flows.pages.artifacts import artifact_key
from flows.pages.markdown import plain, table

COLUMNS = {
    "cleaned": "phrase",
    "before": "label before",
    "after": "label now",
    "labels": "labels received",
    "share": "share of the new label",
}
UNLABELLED = (
    "Phrases that received no label changed with labels of the source, or because others were "
    "changed alike."
)


def show_changes(classifier: str, verdict: Verdict) -> None:
    """Show the phrases whose label changed, with both labels and the evidence."""
    create_markdown_artifact(
        changes_page(classifier, verdict),
        key=artifact_key("memory", classifier),
        description=f"{classifier}: {'; '.join(verdict.reasons)}",
    )


def show_renewal(context: LoopContext, renewed: NewRevision, *, now: datetime) -> None:
    """Show what a retraining's renewal changed."""
    show_changes(renewed.made.classifier, describe_renewal(context, renewed, now=now))


def changes_page(classifier: str, verdict: Verdict) -> str:
    """Return the page as Markdown."""
    changes: list[dict[str, Any]] = verdict.evidence["changed"]
    lines = [f"# Memory of {classifier}", "", *verdict.reasons, ""]
    if not changes:
        lines.append("No answer changed.")
    else:
        rows = [[plain(str(change[name])) for name in COLUMNS] for change in changes]
        lines.append(table([*COLUMNS.values()], rows))
        if not all(change["labels"] for change in changes):
            lines += ["", UNLABELLED]
    return "\n".join(lines) + "\n"
