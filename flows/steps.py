"""The steps of a retraining up to the comparison; retrain.py makes tasks of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from core.contracts import Snapshot
from core.errors import (
    DataError,
    PerennialError,
    SettingsError,
    SourceUnreachable,
    StageFailed,
)
from core.logs import get_logger
from core.snapshots import previous_tag
from flows.context import DEMO_MARK, LoopContext
from flows.run import PublishedRun, Run
from flows.snapshot import record_snapshots, write_snapshots
from pipelines.checks import refusals, require_checked
from pipelines.model_store import store_embedder
from pipelines.workspace import Workspace

REUSED = ("data", "build/embedder", "build/embeddings")
"""Outputs of the previous run that make this one cheaper: only new phrases are embedded."""
SPLIT = {"split": "split/report.json"}
"""Stage -> the file that it writes last. It refuses rows that cannot train, before any head is
fitted."""
LAST = {
    "compare": "comparison/table.md",
    "suspects": "suspects/table.md",
    "errors": "errors/errors.html",
    "bias": "bias/bias.json",
}
"""The last stages: what DVC runs for them is the whole training."""

OWN_ERRORS = (DataError, SourceUnreachable, SettingsError)
"""What stops the classifiers of one source and no others."""

Errors = dict[str, PerennialError]
"""Classifier -> why it was left out."""


def take_snapshot(
    context: LoopContext, workspace: Workspace, classifiers: Sequence[str], run: Run
) -> tuple[list[Snapshot], Errors]:
    """Write the data/ of the classifiers into the workspace and track it with DVC.

    The embeddings of the newest earlier run are restored first: only new phrases are embedded.
    Returns the snapshots, and the errors of the classifiers whose query was refused or whose source
    is unset or does not answer. A repository that cannot take the result is refused here, before
    anything is trained.
    """
    workspace.try_publishing()
    sources = [context.params.classifier(name).source for name in classifiers]
    if context.settings.source_url is not None or any(source.from_ for source in sources):
        # From here on the home contains the user's work, which the demo must not clear.
        (context.settings.home / DEMO_MARK).unlink(missing_ok=True)

    datasets = _datasets(context, classifiers)
    with context.engine.connect() as connection:
        newest_tag = previous_tag(connection, dataset=datasets[0], before=run.now)
        workspace.restore(newest_tag, list(REUSED))

    snapshots, errors = _write_each(context, workspace.folder / "data", classifiers, run)
    written = [name for name in classifiers if name not in errors]
    workspace.narrow(written, _datasets(context, written))
    workspace.track_data()
    get_logger().info("snapshot", rows=sum(snapshot.rows for snapshot in snapshots))
    return snapshots, errors


def _write_each(
    context: LoopContext, data: Path, classifiers: Sequence[str], run: Run
) -> tuple[list[Snapshot], Errors]:
    """Write one data set after the other. Raises the first error when none can be written.

    A source that does not answer is read once more at the end, when another data set was written.
    """
    datasets = _datasets(context, classifiers)
    own = {
        dataset: [name for name in classifiers if dataset == _dataset(context, name)]
        for dataset in datasets
    }
    snapshots: list[Snapshot] = []
    errors: Errors = {}

    def write(dataset: str) -> None:
        try:
            snapshots.extend(write_snapshots(context, data, own[dataset], as_of=run.now))
        except OWN_ERRORS as error:
            errors[dataset] = error

    for dataset in datasets:
        write(dataset)
    if not snapshots:
        raise errors[datasets[0]]
    for dataset in [name for name, error in errors.items() if error.retryable]:
        del errors[dataset]
        write(dataset)
    return snapshots, {name: errors[dataset] for dataset in errors for name in own[dataset]}


def check_snapshot(context: LoopContext, workspace: Workspace, run: Run) -> dict[str, Any]:
    """Run the data checks, store their page, and return their result whatever the verdict is."""
    workspace.reproduce(["check"])
    folder = context.settings.reports / "checks" / run.id
    shutil.copytree(workspace.folder / "build" / "check", folder, dirs_exist_ok=True)
    result = json.loads((folder / "result.json").read_text())
    return {**result, "page": str(folder / "report.html")}


def require_sound_data(
    context: LoopContext, workspace: Workspace, classifiers: Sequence[str], run: Run
) -> Errors:
    """Return the errors of the classifiers that a critical check refuses.

    The workspace then holds the others alone, checked again; the first page stays beside theirs.
    Raises `DataCheckFailed` when all are refused.
    """
    folder = context.settings.reports / "checks" / run.id
    blocks = {name: context.params.classifier(name).source for name in classifiers}
    subjects = {name: (source.dataset, source.label) for name, source in blocks.items()}
    refused = refusals(folder, subjects)

    sound = [name for name in classifiers if name not in refused]
    if not sound:
        require_checked(folder)
    if not refused:
        return {}

    first = folder.with_name(f"{run.id}-refused")
    shutil.copytree(folder, first, dirs_exist_ok=True)
    narrow_to(context, workspace, sound, run)
    return {**refusals(first, subjects)}


def train_classifiers(
    context: LoopContext, workspace: Workspace, classifiers: Sequence[str], run: Run
) -> Errors:
    """Run every DVC stage from the snapshot to the comparison of heads, suspects and error reports.

    Returns the errors of the classifiers that cannot be trained; raises when none can. The
    workspace then holds the others alone, and nothing in its pipeline is out of date.
    """
    errors: Errors = {}
    left = list(classifiers)
    for stages in [SPLIT, LAST] if len(left) > 1 else [LAST]:
        failed = reproduce_each(workspace, stages, left)
        left = [name for name in left if name not in failed]
        errors |= failed
        if failed:
            narrow_to(context, workspace, left, run)
            workspace.reproduce(_targets(stages, left))
    store_embedder(context.settings.embedders, workspace.folder / "build" / "embedder")
    return errors


def reproduce_each(
    workspace: Workspace, stages: Mapping[str, str], classifiers: Sequence[str]
) -> Errors:
    """Run the stages of every classifier; return the errors of those that fail.

    `stages` maps a stage to the file that it writes last: a stage that failed may have written
    others. Raises `StageFailed` when all fail: then the cause may be shared.
    """
    try:
        workspace.reproduce(_targets(stages, classifiers), keep_going=len(classifiers) > 1)
    except StageFailed:
        built = workspace.folder / "build" / "classifiers"
        failed = [
            name
            for name in classifiers
            if not all((built / name / file).exists() for file in stages.values())
        ]
        if len(failed) in (0, len(classifiers)):
            raise
        return {
            name: error
            for name in failed
            if (error := _error_alone(workspace, _targets(stages, [name]))) is not None
        }
    return {}


def _targets(stages: Iterable[str], classifiers: Sequence[str]) -> list[str]:
    return [f"{stage}@{name}" for stage in stages for name in classifiers]


def _error_alone(workspace: Workspace, targets: Sequence[str]) -> StageFailed | None:
    """Run one classifier again for its own error: that of all shows only the last one."""
    try:
        workspace.reproduce(targets)
    except StageFailed as error:
        return error
    return None


def narrow_to(
    context: LoopContext, workspace: Workspace, classifiers: Sequence[str], run: Run
) -> None:
    """Leave the other classifiers out of the workspace, and check what is left."""
    workspace.narrow(classifiers, _datasets(context, classifiers))
    workspace.track_data()
    check_snapshot(context, workspace, run)


def publish_lock(
    context: LoopContext,
    workspace: Workspace,
    classifiers: Sequence[str],
    snapshots: Sequence[Snapshot],
    run: Run,
) -> PublishedRun:
    """Commit and tag `data.dvc` and `dvc.lock`, push them, and record the snapshots.

    Snapshots of classifiers that were left out are neither.
    """
    datasets = _datasets(context, classifiers)
    snapshots = [snapshot for snapshot in snapshots if snapshot.dataset in datasets]
    tag = f"retrain-{run.id}"
    commit = workspace.publish(
        message=f"Retrain {', '.join(classifiers)}: {run.reason}",
        tag=tag,
        branches=[f"perennial/{name}/{run.id}" for name in classifiers],
    )
    record_snapshots(context, workspace.folder / "data", snapshots, classifiers, git_tag=tag)

    data = yaml.safe_load((workspace.folder / "data.dvc").read_text())
    hashes = [f"{snapshot.dataset}:{snapshot.logical_hash}" for snapshot in snapshots]
    return PublishedRun(
        tag=tag, commit=commit, data_md5=data["outs"][0]["md5"], snapshots=",".join(hashes)
    )


def _datasets(context: LoopContext, classifiers: Sequence[str]) -> list[str]:
    return sorted({_dataset(context, name) for name in classifiers})


def _dataset(context: LoopContext, classifier: str) -> str:
    return context.params.classifier(classifier).source.dataset
