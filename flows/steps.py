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
from sqlalchemy.engine import Connection

from bentos.packaging.package import build_bento
from bentos.packaging.pruning import prune_bentos
from core.contracts import ModelVersion, Snapshot, Verdict
from core.database import require_reachable
from core.decisions import record_decision, recorded_decision
from core.deployments import current_champions, hold_rollout
from core.errors import DatabaseUnreachable, RegistryUnreachable
from core.logs import get_logger
from core.snapshots import previous_tag
from flows.context import DEMO_MARK, LoopContext
from flows.snapshot import record_snapshots, write_snapshots
from machine.processes import ensure_service
from pipelines.comparison import decide_promotion
from pipelines.model.head_file import head_digest
from pipelines.model_store import store_embedder, store_version, stored_version
from pipelines.promotion import append_promotion, repair_aliases
from pipelines.provenance import surroundings
from pipelines.registry import finish_or_forget
from pipelines.scored_rows import scored_rows
from pipelines.stages.compare import logged_metrics
from pipelines.workspace import Workspace

COMPARED = "champion_version"


@dataclass(frozen=True)
class Run:
    """One retraining: its id, its moment, why it runs and what called for it."""

    id: str
    now: datetime
    reason: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True)
class PublishedRun:
    """What a published run is known by: the tag and commit of its dvc.lock, and the data's DVC hash."""

    tag: str
    commit: str
    data_md5: str
    snapshots: str


def take_snapshot(
    context: LoopContext, workspace: Workspace, classifiers: Sequence[str], run: Run
) -> list[Snapshot]:
    """Write data/ of the classifiers in the workspace and track it; embeddings of the newest run before it are at hand."""
    if context.settings.source_url is not None:
        (context.settings.home / DEMO_MARK).unlink(
            missing_ok=True
        )  # from here on the home holds work of yours
    datasets = sorted({context.params.classifier(name).source.dataset for name in classifiers})
    with context.engine.connect() as connection:
        workspace.restore(
            previous_tag(connection, dataset=datasets[0], before=run.now),
            ["data", "build/embedder", "build/embeddings"],
        )
    workspace.narrow(classifiers, datasets)
    snapshots = write_snapshots(context, workspace.folder / "data", classifiers, as_of=run.now)
    workspace.track_data()
    get_logger().info("snapshot", rows=sum(snapshot.rows for snapshot in snapshots))
    return snapshots


def check_snapshot(context: LoopContext, workspace: Workspace, run: Run) -> dict[str, Any]:
    """Run the data checks; keep their page and return their result, whatever it says."""
    workspace.reproduce(["check"])
    kept = context.settings.reports / "checks" / run.id
    shutil.copytree(workspace.folder / "build" / "check", kept, dirs_exist_ok=True)
    result = json.loads((kept / "result.json").read_text())
    return {**result, "page": str(kept / "report.html")}


def train_classifiers(
    context: LoopContext, workspace: Workspace, classifiers: Sequence[str]
) -> None:
    """Everything that DVC computes from the snapshot to the evaluations, and to the heads compared where a block lists some."""
    workspace.reproduce([f"compare@{name}" for name in classifiers])
    store_embedder(context.settings.embedders, workspace.folder / "build" / "embedder")


def publish_lock(
    context: LoopContext,
    workspace: Workspace,
    classifiers: Sequence[str],
    snapshots: Sequence[Snapshot],
    run: Run,
) -> PublishedRun:
    """Commit and tag `data.dvc` and `dvc.lock`, push them to the repository, and record the snapshots."""
    tag = f"retrain-{run.id}"
    branches = [f"perennial/{name}/{run.id}" for name in classifiers]
    commit = workspace.publish(
        message=f"Retrain {', '.join(classifiers)}: {run.reason}", tag=tag, branches=branches
    )
    record_snapshots(context, workspace.folder / "data", snapshots, git_tag=tag)
    data = yaml.safe_load((workspace.folder / "data.dvc").read_text())["outs"][0]["md5"]
    return PublishedRun(
        tag,
        commit,
        data,
        ",".join(f"{snapshot.dataset}:{snapshot.logical_hash}" for snapshot in snapshots),
    )


def compare_with_champion(context: LoopContext, workspace: Workspace, classifier: str) -> Verdict:
    """Score candidate and champion on the candidate's test rows and hold them against the gate.

    The evidence names the version that it was compared with, "" for none.
    """
    block, champion = context.params.classifier(classifier), context.champions().get(classifier)
    compared = {COMPARED: champion.version if champion else ""}
    if champion and champion.embedder_id != embedder_id(workspace):
        reason = "the champion rests on another embedder, so both cannot be scored on the same vectors; promote by hand if it is meant"
        return Verdict("reject", (reason,), {"champion_embedder": champion.embedder_id, **compared})
    verdict = decide_promotion(
        scored_rows(workspace, classifier, champion), gate=block.gate, seed=context.params.seed
    )
    return Verdict(verdict.kind, verdict.reasons, {**verdict.evidence, **compared})


def register_candidate(
    context: LoopContext,
    workspace: Workspace,
    classifier: str,
    verdict: Verdict,
    lock: PublishedRun,
    run: Run,
) -> ModelVersion:
    """Log the candidate in MLflow, register its version, and keep its head in the model store; a second call ends what the first began."""
    require_registry(context)
    finish_or_forget(context.registry, context.settings.models, classifier)
    done = context.registry.version_of(classifier, run.id)
    if done is not None:
        return stored_version(context.settings.models, classifier=classifier, version=done)
    folder = workspace.folder / "build" / "classifiers" / classifier
    tags = _tags(workspace, folder / "model", lock, run)
    with context.registry.run(classifier, name=run.id, tags=tags) as run_id:
        metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
        head = context.params.classifier(classifier).head.model_dump()
        context.registry.log_evaluation(
            run_id,
            metrics=metrics,
            params=head,
            evaluation=folder / "evaluation",
            model=folder / "model",
        )
        if compared := logged_metrics(folder / "comparison"):
            context.registry.log_comparison(run_id, folder / "comparison", metrics=compared)
        context.registry.log_verdict(run_id, verdict)
        version = context.registry.register(
            classifier, run_id=run_id, tags={**tags, "verdict": verdict.kind}
        )
        where = {"model": folder / "model", "evaluation": folder / "evaluation"}
        stored = store_version(
            context.settings.models, classifier=classifier, version=version, **where
        )
        context.registry.complete(classifier, version)
    return stored


def _tags(workspace: Workspace, model: Path, lock: PublishedRun, run: Run) -> dict[str, str]:
    return {
        "git_commit": lock.commit,
        "git_tag": lock.tag,
        "snapshot": lock.snapshots,
        "data_md5": lock.data_md5,
        "embedder_id": embedder_id(workspace),
        "reason": run.reason,
        "run": run.id,
        "head_digest": head_digest(model),
        "surroundings": json.dumps(surroundings()),
    }


def require_registry(context: LoopContext) -> None:
    """Raise `RegistryUnreachable` at once when MLflow's database does not answer: MLflow itself would try for two minutes."""
    try:
        require_reachable(context.urls.mlflow)
    except DatabaseUnreachable as error:
        raise RegistryUnreachable(
            "MLflow's database to answer",
            came=error.came,
            do="start it, or correct PERENNIAL_MLFLOW_DATABASE_URL; then retrain",
        ) from None


def decide_and_promote(
    context: LoopContext, candidate: ModelVersion, verdict: Verdict, run: Run
) -> Verdict:
    """Record the gate's verdict and, when it says so, let the candidate answer from now on: both or neither.

    Return the verdict that holds: "wait" when somebody has changed the champion since the comparison. A second call for the
    same run only repairs the aliases.
    """
    name = candidate.classifier
    with context.engine.begin() as connection:
        hold_rollout(connection, name)
        before = recorded_decision(connection, classifier=name, subject="gate", run=run.id)
        verdict = before or _record_verdict(connection, candidate, verdict, run)
    context.registry.tag(name, candidate.version, "verdict", verdict.kind)
    repair_aliases(context.engine, context.registry, name)
    return verdict


def _record_verdict(
    connection: Connection, candidate: ModelVersion, verdict: Verdict, run: Run
) -> Verdict:
    champion = current_champions(connection).get(candidate.classifier)
    held = _against(champion.model.version if champion else "", candidate, verdict)
    full = Verdict(
        held.kind,
        held.reasons,
        {**held.evidence, "version": candidate.version, "reason": run.reason},
    )
    record_decision(
        connection,
        full,
        classifier=candidate.classifier,
        subject="gate",
        decided_at=run.now,
        run=run.id,
    )
    if held.kind == "promote":
        append_promotion(connection, candidate, why=held.reasons[0], now=run.now, run=run.id)
    return held


def _against(champion: str, candidate: ModelVersion, verdict: Verdict) -> Verdict:
    """What a person decided while the retraining ran is not overwritten by it."""
    compared = verdict.evidence[COMPARED]
    if verdict.kind != "promote" or champion == compared:
        return verdict
    changed = f"the champion became version {champion} while this ran; version {candidate.version} was compared with {compared or 'none'}"
    return Verdict("wait", (f"{changed}: retrain, or promote it by hand",), verdict.evidence)


def package(context: LoopContext, workspace: Workspace, run: Run) -> str:
    """Build a bento of the champions; the service starts with it where it waited for one."""
    tag = package_champions(context, embedder_id(workspace), version=run.id)
    ensure_service(context.settings)
    return tag


def package_champions(context: LoopContext, embedder: str, *, version: str) -> str:
    """Build a bento a group of the embedder and the heads of every champion that rests on it; return the first group's tag.

    The first group's comes last: where it is, the others of its version are. Bentos that nobody will serve again are removed.
    """
    home = context.settings.home
    champions = {
        name: model for name, model in context.champions().items() if model.embedder_id == embedder
    }
    for group in reversed(context.settings.groups):
        tag = build_bento(
            {name: model for name, model in champions.items() if group.serves(name)},
            embedder=context.settings.embedders / embedder,
            staging=home / "staging",
            bento_store=home / "bentoml",
            version=version.lower(),
            group=group.number,
        )
        get_logger().info("bento", tag=tag)
    get_logger().info("bentos", removed=prune_bentos(home / "bentoml"))
    return tag


def embedder_id(workspace: Workspace) -> str:
    """The id of the embedder that the workspace's embeddings come from."""
    return json.loads((workspace.folder / "build" / "embedder" / "embedder.json").read_text())[
        "embedder_id"
    ]
