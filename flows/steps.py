"""The steps of a retraining up to the comparison; retrain.py makes tasks of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from typing import Any

import yaml

from core.contracts import Snapshot
from core.logs import get_logger
from core.snapshots import previous_tag
from flows.context import DEMO_MARK, LoopContext
from flows.run import PublishedRun, Run
from flows.snapshot import record_snapshots, write_snapshots
from pipelines.model_store import store_embedder
from pipelines.workspace import Workspace

REUSED = ("data", "build/embedder", "build/embeddings")
"""Outputs of the previous run that make this one cheaper: only new phrases are embedded."""


def take_snapshot(
    context: LoopContext, workspace: Workspace, classifiers: Sequence[str], run: Run
) -> list[Snapshot]:
    """Write the data/ of the classifiers into the workspace and track it with DVC.

    The embeddings of the newest earlier run are restored first: only new phrases are embedded.
    A repository that cannot take the result is refused here, before anything is trained.
    """
    workspace.try_publishing()
    if context.settings.source_url is not None:
        # From here on the home contains the user's work, which the demo must not clear.
        (context.settings.home / DEMO_MARK).unlink(missing_ok=True)

    datasets = sorted({context.params.classifier(name).source.dataset for name in classifiers})
    with context.engine.connect() as connection:
        newest_tag = previous_tag(connection, dataset=datasets[0], before=run.now)
        workspace.restore(newest_tag, list(REUSED))
    workspace.narrow(classifiers, datasets)

    snapshots = write_snapshots(context, workspace.folder / "data", classifiers, as_of=run.now)
    workspace.track_data()
    get_logger().info("snapshot", rows=sum(snapshot.rows for snapshot in snapshots))
    return snapshots


def check_snapshot(context: LoopContext, workspace: Workspace, run: Run) -> dict[str, Any]:
    """Run the data checks, store their page, and return their result whatever the verdict is."""
    workspace.reproduce(["check"])
    folder = context.settings.reports / "checks" / run.id
    shutil.copytree(workspace.folder / "build" / "check", folder, dirs_exist_ok=True)
    result = json.loads((folder / "result.json").read_text())
    return {**result, "page": str(folder / "report.html")}


def train_classifiers(
    context: LoopContext, workspace: Workspace, classifiers: Sequence[str]
) -> None:
    """Run every DVC stage from the snapshot to the evaluations and the comparison of heads."""
    workspace.reproduce([f"compare@{name}" for name in classifiers])
    store_embedder(context.settings.embedders, workspace.folder / "build" / "embedder")


def publish_lock(
    context: LoopContext,
    workspace: Workspace,
    classifiers: Sequence[str],
    snapshots: Sequence[Snapshot],
    run: Run,
) -> PublishedRun:
    """Commit and tag `data.dvc` and `dvc.lock`, push them, and record the snapshots."""
    tag = f"retrain-{run.id}"
    commit = workspace.publish(
        message=f"Retrain {', '.join(classifiers)}: {run.reason}",
        tag=tag,
        branches=[f"perennial/{name}/{run.id}" for name in classifiers],
    )
    record_snapshots(context, workspace.folder / "data", snapshots, git_tag=tag)

    data = yaml.safe_load((workspace.folder / "data.dvc").read_text())
    hashes = [f"{snapshot.dataset}:{snapshot.logical_hash}" for snapshot in snapshots]
    return PublishedRun(
        tag=tag, commit=commit, data_md5=data["outs"][0]["md5"], snapshots=",".join(hashes)
    )
