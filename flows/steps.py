"""The steps of a retraining as plain functions; flows/retrain.py strings them together as tasks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from bentos.package import build_bento
from core.contracts import ModelVersion, Snapshot, Verdict
from core.decisions import record_decision
from core.logs import get_logger
from flows.loop import DEMO_MARK, Loop
from flows.machine.processes import ensure_service
from flows.snapshot import record_snapshots, write_snapshots
from pipelines.comparison import ScoredRows, decide_promotion
from pipelines.model.head_file import head_digest
from pipelines.registry import append_promotion, repair_aliases, store_embedder, store_version
from pipelines.snapshots import previous_tag
from pipelines.surroundings import surroundings
from pipelines.workspace import Workspace


@dataclass(frozen=True)
class Run:
    """One retraining: its id, its moment, why it runs and what called for it."""

    id: str
    now: datetime
    reason: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True)
class Lock:
    """What a published run is known by: the tag and commit of its dvc.lock, and the data's DVC hash."""

    tag: str
    commit: str
    data_md5: str
    snapshots: str


def take_snapshot(loop: Loop, workspace: Workspace, classifiers: Sequence[str], run: Run) -> list[Snapshot]:
    """Write data/ of the classifiers in the workspace and track it; embeddings of the newest run before it are at hand."""
    if loop.settings.source_url is not None:
        (loop.settings.home / DEMO_MARK).unlink(missing_ok=True)  # from here on the home holds work of yours
    datasets = sorted({loop.params.classifier(name).source.dataset for name in classifiers})
    with loop.engine.connect() as connection:
        workspace.restore(previous_tag(connection, dataset=datasets[0], before=run.now), ["data", "build/embedder", "build/embeddings"])
    workspace.narrow(classifiers, datasets)
    snapshots = write_snapshots(loop, workspace.folder / "data", classifiers, as_of=run.now)
    workspace.track_data()
    get_logger().info("snapshot", rows=sum(snapshot.rows for snapshot in snapshots))
    return snapshots


def check_snapshot(loop: Loop, workspace: Workspace, run: Run) -> dict[str, Any]:
    """Run the data checks; keep their page and return their result, whatever it says."""
    workspace.reproduce(["check"])
    kept = loop.settings.reports / "checks" / run.id
    shutil.copytree(workspace.folder / "build" / "check", kept)
    result = json.loads((kept / "result.json").read_text())
    return {**result, "page": str(kept / "report.html")}


def train_classifiers(loop: Loop, workspace: Workspace, classifiers: Sequence[str]) -> None:
    """Everything that DVC computes from the snapshot to the evaluations."""
    workspace.reproduce([f"evaluate@{name}" for name in classifiers])
    store_embedder(loop.settings.embedders, workspace.folder / "build" / "embedder")


def publish_lock(loop: Loop, workspace: Workspace, classifiers: Sequence[str], snapshots: Sequence[Snapshot], run: Run) -> Lock:
    """Commit and tag `data.dvc` and `dvc.lock`, push them to the repository, and record the snapshots."""
    tag = f"retrain-{run.id}"
    branches = [f"perennial/{name}/{run.id}" for name in classifiers]
    commit = workspace.publish(message=f"Retrain {', '.join(classifiers)}: {run.reason}", tag=tag, branches=branches)
    record_snapshots(loop, workspace.folder / "data", snapshots, git_tag=tag)
    data = yaml.safe_load((workspace.folder / "data.dvc").read_text())["outs"][0]["md5"]
    return Lock(tag, commit, data, ",".join(f"{snapshot.dataset}:{snapshot.logical_hash}" for snapshot in snapshots))


def compare_with_champion(loop: Loop, workspace: Workspace, classifier: str) -> Verdict:
    """Score candidate and champion on the candidate's test rows and hold them against the gate."""
    block, champion = loop.params.classifier(classifier), loop.champions().get(classifier)
    if champion and champion.embedder_id != embedder_id(workspace):
        reason = "the champion rests on another embedder, so both cannot be scored on the same vectors; promote by hand if it is meant"
        return Verdict("reject", (reason,), {"champion_embedder": champion.embedder_id})
    return decide_promotion(scored_rows(workspace, classifier, champion), gate=block.gate, seed=loop.params.seed)


def scored_rows(workspace: Workspace, classifier: str, champion: ModelVersion | None) -> ScoredRows:
    """Return the candidate's test rows with the answers of candidate and champion."""
    import pyarrow.parquet as pq

    folder = workspace.folder / "build" / "classifiers" / classifier
    rows = pq.read_table(folder / "evaluation" / "predictions.parquet").to_pydict()
    answers = champion_answers(workspace, champion, rows["cleaned"]) if champion else None
    return ScoredRows(rows["label"], rows["cleaned"], rows["predicted"], answers, majority_label(folder))


def champion_answers(workspace: Workspace, champion: ModelVersion, cleaned: Sequence[str]) -> list[str]:
    """Label the phrases with the champion's head on the embeddings that the candidate was trained on."""
    from pipelines.model.classifier import best_labels
    from pipelines.model.head_file import load_head
    from pipelines.stages.embed import read_vectors

    head = load_head(Path(champion.head_location))
    distinct = sorted(set(cleaned))
    vectors = read_vectors(distinct, workspace.folder / "build" / "embeddings")
    answers = dict(zip(distinct, best_labels(head, distinct, vectors), strict=True))
    return [answers[phrase] for phrase in cleaned]


def majority_label(folder: Path) -> str:
    """The most frequent label of the training rows: the floor that any version must beat."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    train = pq.read_table(folder / "split" / "train.parquet", columns=["label", "rows"])
    totals = train.group_by("label").aggregate([("rows", "sum")])
    return totals["label"][pc.index(totals["rows_sum"], pc.max(totals["rows_sum"])).as_py()].as_py()


def register_candidate(loop: Loop, workspace: Workspace, classifier: str, verdict: Verdict, lock: Lock, run: Run) -> ModelVersion:
    """Log the candidate in MLflow, register its version, and keep its head in the model store."""
    folder = workspace.folder / "build" / "classifiers" / classifier
    tags = {
        "git_commit": lock.commit,
        "git_tag": lock.tag,
        "snapshot": lock.snapshots,
        "data_md5": lock.data_md5,
        "embedder_id": embedder_id(workspace),
        "reason": run.reason,
        "run": run.id,
        "head_digest": head_digest(folder / "model"),
        "surroundings": json.dumps(surroundings()),
    }
    with loop.registry.run(classifier, name=run.id, tags=tags) as run_id:
        metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
        head = loop.params.classifier(classifier).head.model_dump()
        loop.registry.log_evaluation(run_id, metrics=metrics, params=head, evaluation=folder / "evaluation", model=folder / "model")
        loop.registry.log_verdict(run_id, verdict)
        version = loop.registry.register(classifier, run_id=run_id, tags={**tags, "verdict": verdict.kind})
    return store_version(
        loop.settings.models, classifier=classifier, version=version, model=folder / "model", evaluation=folder / "evaluation"
    )


def decide_and_promote(loop: Loop, candidate: ModelVersion, verdict: Verdict, run: Run) -> None:
    """Record the gate's verdict and, when it says so, let the candidate answer from now on: both or neither."""
    full = Verdict(verdict.kind, verdict.reasons, {**verdict.evidence, "version": candidate.version, "reason": run.reason})
    with loop.engine.begin() as connection:
        record_decision(connection, full, classifier=candidate.classifier, subject="gate", decided_at=run.now, run=run.id)
        if verdict.kind == "promote":
            append_promotion(connection, candidate, why=verdict.reasons[0], now=run.now, run=run.id)
    repair_aliases(loop.engine, loop.registry, candidate.classifier)


def package(loop: Loop, workspace: Workspace, run: Run) -> str:
    """Build a bento of the champions; the service starts with it where it waited for one."""
    tag = package_champions(loop, embedder_id(workspace), version=run.id)
    ensure_service(loop.settings)
    return tag


def package_champions(loop: Loop, embedder: str, *, version: str) -> str:
    """Build a bento of the embedder and the heads of every champion that rests on it; return its tag."""
    home = loop.settings.home
    tag = build_bento(
        {name: model for name, model in loop.champions().items() if model.embedder_id == embedder},
        embedder=loop.settings.embedders / embedder,
        staging=home / "staging",
        bento_store=home / "bentoml",
        version=version.lower(),
    )
    get_logger().info("bento", tag=tag)
    return tag


def embedder_id(workspace: Workspace) -> str:
    """The id of the embedder that the workspace's embeddings come from."""
    return json.loads((workspace.folder / "build" / "embedder" / "embedder.json").read_text())["embedder_id"]
