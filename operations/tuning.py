"""Tunes one classifier by hand, on a fresh snapshot of what is committed."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from core.errors import UsageError
from core.logs import timed
from core.settings import Settings
from flows import steps
from flows.candidates.registering import require_registry
from flows.context import LoopContext, open_context
from flows.run import Run
from flows.searching import open_question, prepare_rows
from flows.tuning import Tuning, keep_tuning, log_tuning, tune_now, tuning_folder
from pipelines.git_repository import require_committed
from pipelines.tuning.space import present_settings
from pipelines.workspace import Workspace, open_workspace


@dataclass(frozen=True)
class TunedByHand:
    """A tuning, the branch with its change, "" without one, and the folder of its files."""

    tuning: Tuning
    branch: str
    folder: Path


def tune_by_hand(
    settings: Settings, classifier: str, *, seconds: float | None, processes: int, now: datetime
) -> TunedByHand:
    """Search, compare, and push the change of params.yaml as a branch of its own.

    `seconds` is by default that of the block. Ctrl-C ends the search; the best so far counts.
    Raises `UnknownClassifier`, `UncommittedChanges`, `DataCheckFailed` and `TrainingImpossible`.
    """
    run = Run(f"tune-{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}", now, "tuning")
    with open_context(settings) as context:
        block = context.params.classifier(classifier)
        require_committed(settings.repository)

        with open_workspace(settings.repository, seconds=settings.stage_seconds) as workspace:
            _prepare(context, workspace, classifier, run)
            with open_question(context, workspace, classifier) as question:
                tuning = tune_now(
                    question,
                    run,
                    why="by hand",
                    seconds=seconds or block.tune.seconds,
                    processes=processes,
                    interruptible=True,
                )
            branch = f"perennial/{classifier}/{run.id}" if tuning.commit else ""
            if branch:
                workspace.push_branch(branch)

        keep_tuning(context, tuning, run)
        _log(context, classifier, run)
        return TunedByHand(tuning, branch, tuning_folder(context, run, classifier))


def _prepare(context: LoopContext, workspace: Workspace, classifier: str, run: Run) -> None:
    """Snapshot, check, split and embed."""
    head = context.params.classifier(classifier).head
    if not present_settings(head):
        raise UsageError(
            "a head with settings to search",
            came=f"the kind {head.kind}",
            do="choose another head in params.yaml; see docs/modelling.md",
        )
    with timed("take snapshot"):
        _, refused = steps.take_snapshot(context, workspace, [classifier], run)
    for error in refused.values():
        raise error
    with timed("check snapshot"):
        steps.check_snapshot(context, workspace, run)
        steps.require_sound_data(context, workspace, [classifier], run)
    with timed("prepare rows"):
        prepare_rows(workspace, [classifier])


def _log(context: LoopContext, classifier: str, run: Run) -> None:
    require_registry(context)
    tags = {"run": run.id, "reason": run.reason}
    with context.registry.run(classifier, name=run.id, tags=tags) as run_id:
        log_tuning(context, classifier, run_id, run)
