"""Compares windows of history on a fresh snapshot of the working tree; nothing is registered."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from core.settings import Settings
from flows import steps
from flows.context import LoopContext, open_context
from flows.run import Run
from pipelines.history import HistoryComparison
from pipelines.history_files import compare_checkout, write_history
from pipelines.uncommitted import bring_uncommitted
from pipelines.workspace import Workspace, open_workspace


def compare_history(
    settings: Settings,
    classifier: str,
    *,
    years: int,
    now: datetime,
    report: Callable[[str], None],
) -> tuple[HistoryComparison, Path]:
    """Return the comparison of 1 to `years` years, and the folder of its picture and figures.

    Raises `UnknownClassifier`, `DataCheckFailed` and `TrainingImpossible`.
    """
    run = Run(f"history-{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}", now, "history")
    with (
        open_context(settings) as context,
        open_workspace(settings.repository, seconds=settings.stage_seconds) as workspace,
    ):
        context.known_classifiers([classifier])
        bring_uncommitted(settings.repository, workspace.folder)
        _prepare(context, workspace, classifier, run)
        comparison = compare_checkout(
            workspace.folder,
            block=context.params.classifier(classifier),
            seed=context.params.seed,
            years=years,
            report=report,
        )
    folder = settings.reports / "history" / classifier / run.id
    folder.mkdir(parents=True)
    write_history(folder, comparison)
    return comparison, folder


def _prepare(context: LoopContext, workspace: Workspace, classifier: str, run: Run) -> None:
    """Snapshot, check and embed."""
    _, refused = steps.take_snapshot(context, workspace, [classifier], run)
    for error in refused.values():
        raise error
    steps.check_snapshot(context, workspace, run)
    steps.require_sound_data(context, workspace, [classifier], run)
    workspace.reproduce(["embed"])
