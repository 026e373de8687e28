"""A retraining on trial: of the working tree as it is, and nothing is registered."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from core.contracts import Verdict
from core.logs import get_logger
from core.settings import Settings
from flows import steps
from flows.attempt import Attempt
from flows.candidates.comparing import compare_with_champion
from flows.candidates.error_report import COMPLETED, STAGE
from flows.context import LoopContext, open_context
from flows.history import choose_histories
from flows.run import Run
from pipelines.errors.files import PAGE
from pipelines.uncommitted import bring_uncommitted
from pipelines.workspace import Workspace, open_workspace

SHOWN = (
    "evaluation/*.png",
    "evaluation/metrics.json",
    "comparison/table.md",
    f"{STAGE}/{PAGE}",
    f"{COMPLETED}/{PAGE}",
)
"""What a trial leaves of a classifier, in its folder under reports/trials; the later file of a
name replaces the earlier one."""


@dataclass(frozen=True)
class Trial:
    """What a retraining would say of one classifier.

    `scores` are the figures of the judged head on its test rows, empty for one that failed, and
    `folder` holds its pictures.
    """

    verdict: Verdict
    scores: dict[str, float]
    folder: Path


def run_trial(settings: Settings, classifiers: Sequence[str], *, now: datetime) -> dict[str, Trial]:
    """Snapshot, check, train and compare, uncommitted changes included.

    No snapshot, version, decision, tag or bento is recorded. By default of all classifiers.
    """
    run = Run(f"trial-{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}", now, "trial")
    reports = settings.reports / "trials" / run.id

    with (
        open_context(settings) as context,
        open_workspace(settings.repository, seconds=settings.stage_seconds) as workspace,
    ):
        changed = bring_uncommitted(settings.repository, workspace.folder)
        get_logger().info("trial", run=run.id, uncommitted=changed)
        attempt = Attempt(context.known_classifiers(classifiers))
        _train(context, workspace, attempt, run)
        trials = {}
        for name in list(attempt.remaining):
            with attempt.alone(name):
                verdict = compare_with_champion(context, workspace, name, run)
                trials[name] = _keep(workspace, name, verdict, reports / name)

    failed = {
        name: Trial(verdict, {}, reports / name) for name, verdict in attempt.verdicts().items()
    }
    return trials | failed


def _train(context: LoopContext, workspace: Workspace, attempt: Attempt, run: Run) -> None:
    _, refused = steps.take_snapshot(context, workspace, attempt.remaining, run)
    attempt.leave_out(refused)
    steps.check_snapshot(context, workspace, run)
    attempt.leave_out(steps.require_sound_data(context, workspace, attempt.remaining, run))
    choose_histories(context, workspace, attempt.remaining, run, record=False)
    attempt.leave_out(steps.train_classifiers(context, workspace, attempt.remaining, run))


def _keep(workspace: Workspace, classifier: str, verdict: Verdict, folder: Path) -> Trial:
    """Copy the pictures and figures out of the workspace, which does not stay."""
    built = workspace.folder / "build" / "classifiers" / classifier
    folder.mkdir(parents=True)
    for pattern in SHOWN:
        for file in sorted(built.glob(pattern)):
            shutil.copy(file, folder / file.name)
    scores = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return Trial(verdict, scores, folder)
