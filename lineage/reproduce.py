"""Trains a version again from its snapshot, and compares the result with what was recorded.

The training runs in a clean clone of the version's commit.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq

from core.contracts import Verdict, is_plain_name
from core.errors import NotReproducible
from core.logs import get_logger, timed
from flows.context import LoopContext
from pipelines.git_repository import commit_of, file_at
from pipelines.model.digests import write_digest, write_judged_digest
from pipelines.model_store import problem_of, restore_version, store_embedder
from pipelines.provenance import changes, training_environment
from pipelines.registry import RegisteredVersion
from pipelines.reproduction import Training, compare_trainings, read_repeated, read_training
from pipelines.snapshot_files import ROWS
from pipelines.snapshots import logical_hash
from pipelines.workspace import Workspace, open_workspace


@dataclass(frozen=True)
class Reproduction:
    """The result of a reproduction.

    `notes` are sentences about other differences, such as package versions. `restored` lists the
    folders that were put back.
    """

    classifier: str
    version: str
    verdict: Verdict
    tag: str
    commit: str
    seconds: float
    notes: tuple[str, ...]
    restored: tuple[str, ...]


def reproduce(context: LoopContext, classifier: str, version: str) -> Reproduction:
    """Run every stage of the version again: checks, embeddings, split, training, evaluation.

    Only the snapshot comes from the cache. An identical result restores a missing or damaged head
    in the model store, and a missing embedder. Raises `UnknownVersion`, `NotReproducible` and
    `StageFailed`.
    """
    started = time.perf_counter()
    settings = context.settings
    registered = context.registry.version(classifier, version)
    commit = published_commit(settings.repository, registered)
    tag = registered.tags["git_tag"]
    with (
        open_workspace(
            settings.repository, revision=commit, seconds=settings.stage_seconds
        ) as workspace,
        TemporaryDirectory(prefix="perennial-record-") as record,
    ):
        recorded = read_record(context, registered, commit=commit, folder=Path(record))
        bring_snapshot(workspace, registered)
        with timed("reproduce", classifier=classifier, version=version, tag=tag):
            workspace.compute_again([f"evaluate@{classifier}"])

        verdict = compare_trainings(recorded, read_repeated(workspace.folder, classifier))
        notes = _notes(context, registered, recorded)
        restored: list[str] = []
        if verdict.kind == "identical":
            restored = restore_stores(context, workspace, registered, recorded)

    return Reproduction(
        classifier=classifier,
        version=version,
        verdict=verdict,
        tag=tag,
        commit=commit,
        seconds=round(time.perf_counter() - started, 1),
        notes=tuple(notes),
        restored=tuple(restored),
    )


def published_commit(repository: Path, registered: RegisteredVersion) -> str:
    """The commit that the retraining published.

    Raises `NotReproducible` when its tag is missing or was moved.
    """
    tag = registered.tags.get("git_tag", "")
    if not tag:
        raise NotReproducible(
            f"the git tag of version {registered.version}",
            came="a version without one",
            do="retrain: the record of this version is incomplete",
        )
    commit = registered.tags.get("git_commit", "")
    tagged_commit = commit_of(repository, f"refs/tags/{tag}")
    if not tagged_commit:
        raise NotReproducible(
            f"the git tag {tag} of version {registered.version}",
            came="no such tag",
            do=f"fetch it from where the retraining ran: `git fetch ORIGIN tag {tag}`",
        )
    if tagged_commit != commit:
        raise NotReproducible(
            f"tag {tag} at commit {commit}",
            came=f"commit {tagged_commit}",
            do=f"restore the tag: `git tag -f {tag} {commit}`",
        )
    return commit


def read_record(
    context: LoopContext, registered: RegisteredVersion, *, commit: str, folder: Path
) -> Training:
    """Read what MLflow and git recorded of the training.

    Raises `NotReproducible` when the record is incomplete.
    """
    from mlflow.exceptions import MlflowException

    lock = file_at(context.settings.repository, commit, "dvc.lock")
    try:
        evaluation = context.registry.artifacts(registered.run_id, "evaluation", folder)
        return read_training(
            digest=registered.tags["head_digest"],
            judged_digest=registered.tags.get("judged_digest", ""),
            evaluation=evaluation,
            lock=lock or "",
            classifier=registered.classifier,
        )
    except (MlflowException, OSError, KeyError, TypeError, ValueError) as error:
        version = f"version {registered.version} of {registered.classifier}"
        raise NotReproducible(
            f"the evaluation, head digest and dvc.lock of {version}",
            came=f"{type(error).__name__}: {error}"[:300],
            do="restore PERENNIAL_HOME/mlartifacts from a backup",
        ) from None


def bring_snapshot(workspace: Workspace, registered: RegisteredVersion) -> None:
    """Check data/ out of the DVC cache. Raises `NotReproducible` when it is missing or altered."""
    tag = registered.tags["git_tag"]
    corrupt = workspace.set_corrupt_aside(["data.dvc"])
    if corrupt or not workspace.check_out("data.dvc"):
        moved = f"corrupt files, moved aside: {', '.join(corrupt[:5])}"
        pull = f"`git checkout {tag} && dvc pull data.dvc`"
        raise NotReproducible(
            f"the snapshot of {tag} in the DVC cache",
            came=moved if corrupt else "files that were removed or altered",
            do=f"restore it with {pull}, or from a backup of .dvc/cache",
        )

    for part in registered.tags["snapshot"].split(","):
        dataset, _, recorded_hash = part.partition(":")
        _verify_rows(workspace, dataset, recorded_hash, tag=tag)
    get_logger().info("snapshot", state="verified", tag=tag)


def _verify_rows(workspace: Workspace, dataset: str, recorded_hash: str, *, tag: str) -> None:
    if not is_plain_name(dataset):
        raise NotReproducible(
            "plain names in the tag `snapshot`",
            came=repr(dataset),
            do="correct that tag in MLflow",
        )
    actual_hash = logical_hash(pq.read_table(workspace.folder / "data" / dataset / ROWS))
    if actual_hash != recorded_hash:
        pull = f"`git checkout {tag} && dvc pull data.dvc`"
        raise NotReproducible(
            f"rows of {dataset} with hash {recorded_hash}",
            came=actual_hash,
            do=f"remove the altered files of .dvc/cache, then {pull}",
        )


def restore_stores(
    context: LoopContext, workspace: Workspace, registered: RegisteredVersion, recorded: Training
) -> list[str]:
    """Restore what the model store and the embedder store lack; return the restored folders."""
    settings = context.settings
    folder = _stored_folder(context, registered)
    restored = []
    write_digest(folder, recorded.digest)
    if recorded.judged_digest:
        write_judged_digest(folder, recorded.judged_digest)
    if problem_of(folder, digest=recorded.digest):
        built = workspace.folder / "build" / "classifiers" / registered.classifier
        restore_version(
            settings.models,
            classifier=registered.classifier,
            version=registered.version,
            model=built / "model",
            evaluation=built / "evaluation",
        )
        restored.append(str(folder))

    if settings.kept_embedder(registered.tags["embedder_id"]) is None:
        embedder = store_embedder(settings.embedders, workspace.folder / "build" / "embedder")
        restored.append(str(embedder))
    return restored


def _notes(context: LoopContext, registered: RegisteredVersion, recorded: Training) -> list[str]:
    recorded_environment = json.loads(registered.tags.get("surroundings", "{}"))
    notes = changes(recorded_environment, training_environment())
    problem = problem_of(_stored_folder(context, registered), digest=recorded.digest)
    if problem:
        return [f"the stored head of version {registered.version}: {problem}", *notes]
    return notes


def _stored_folder(context: LoopContext, registered: RegisteredVersion) -> Path:
    return context.settings.models / registered.classifier / registered.version
