"""A version trained again from its snapshot, in a clean clone of its own commit, and held against what was recorded."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq

from core.contracts import Verdict, is_plain_name
from core.errors import NotReproducible
from core.logs import get_logger, timed
from flows.context import LoopContext
from pipelines.model.digests import write_digest
from pipelines.model_store import problem_of, restore_version, store_embedder
from pipelines.provenance import changes, surroundings
from pipelines.registry import RegisteredVersion
from pipelines.reproduction import Training, compare_trainings, read_repeated, read_training
from pipelines.snapshot_files import ROWS
from pipelines.snapshots import logical_hash
from pipelines.workspace import Workspace, commit_of, file_at, open_workspace


@dataclass(frozen=True)
class Reproduction:
    """What came of it; `notes` are sentences on what differs around it, `restored` the folders that were put back."""

    classifier: str
    version: str
    verdict: Verdict
    tag: str
    commit: str
    seconds: float
    notes: tuple[str, ...]
    restored: tuple[str, ...]


def reproduce(loop: LoopContext, classifier: str, version: str) -> Reproduction:
    """Run every stage of the version anew: checks, embeddings, split, training, evaluation.

    Nothing but the snapshot comes from the cache. An identical result heals a model store that lacks the head or holds a
    damaged one, and an embedder that is gone. Raises `UnknownVersion`, `NotReproducible`, `StageFailed`.
    """
    started, known = time.perf_counter(), loop.registry.version(classifier, version)
    commit = published_commit(loop.settings.repository, known)
    with (
        open_workspace(
            loop.settings.repository, revision=commit, seconds=loop.settings.stage_seconds
        ) as workspace,
        TemporaryDirectory(prefix="perennial-record-") as kept,
    ):
        recorded = read_record(loop, known, commit=commit, folder=Path(kept))
        bring_snapshot(workspace, known)
        with timed("reproduce", classifier=classifier, version=version, tag=known.tags["git_tag"]):
            workspace.compute_again([f"evaluate@{classifier}"])
        verdict = compare_trainings(recorded, read_repeated(workspace.folder, classifier))
        notes = [*_notes(loop, known, recorded), *changes(_surroundings(known), surroundings())]
        restored = heal(loop, workspace, known, recorded) if verdict.kind == "identical" else []
    seconds = round(time.perf_counter() - started, 1)
    return Reproduction(
        classifier,
        version,
        verdict,
        known.tags["git_tag"],
        commit,
        seconds,
        tuple(notes),
        tuple(restored),
    )


def published_commit(repository: Path, known: RegisteredVersion) -> str:
    """The commit that the retraining published; raises `NotReproducible` without its tag, or when the tag was moved."""
    tag, commit = known.tags.get("git_tag", ""), known.tags.get("git_commit", "")
    found = commit_of(repository, f"refs/tags/{tag}")
    if not found:
        do = f"fetch it from where the retraining ran: `git fetch ORIGIN tag {tag}`"
        raise NotReproducible(
            f"the git tag {tag or '(none recorded)'} of version {known.version}",
            came="no such tag",
            do=do,
        )
    if found != commit:
        raise NotReproducible(
            f"tag {tag} at commit {commit}",
            came=f"commit {found}",
            do=f"put the tag back: `git tag -f {tag} {commit}`",
        )
    return found


def read_record(
    loop: LoopContext, known: RegisteredVersion, *, commit: str, folder: Path
) -> Training:
    """What MLflow and git keep of the version's training; raises `NotReproducible` when it is not all there."""
    from mlflow.exceptions import MlflowException

    lock = file_at(loop.settings.repository, commit, "dvc.lock")
    try:
        evaluation = loop.registry.artifacts(known.run_id, "evaluation", folder)
        return read_training(
            digest=known.tags["head_digest"],
            evaluation=evaluation,
            lock=lock or "",
            classifier=known.classifier,
        )
    except (MlflowException, OSError, KeyError, TypeError, ValueError) as error:
        wanted = f"the evaluation, head digest and dvc.lock of version {known.version} of {known.classifier}"
        raise NotReproducible(
            wanted,
            came=f"{type(error).__name__}: {error}"[:300],
            do="restore PERENNIAL_HOME/mlartifacts from a copy",
        ) from None


def bring_snapshot(workspace: Workspace, known: RegisteredVersion) -> None:
    """Check data/ out of the DVC cache; raises `NotReproducible` when it is gone or altered."""
    tag = known.tags["git_tag"]
    rotten = workspace.set_rotten_aside(["data.dvc"])
    if rotten or not workspace.check_out("data.dvc"):
        came = (
            f"rotten files, moved aside: {', '.join(rotten[:5])}"
            if rotten
            else "files that were removed or altered"
        )
        do = f"bring it back with `git checkout {tag} && dvc pull data.dvc`, or from a copy of .dvc/cache"
        raise NotReproducible(f"the snapshot of {tag} in the DVC cache", came=came, do=do)
    for name, _, wanted in (part.partition(":") for part in known.tags["snapshot"].split(",")):
        if not is_plain_name(name):
            raise NotReproducible(
                "plain names in the tag `snapshot`",
                came=repr(name),
                do="correct that tag in MLflow",
            )
        found = logical_hash(pq.read_table(workspace.folder / "data" / name / ROWS))
        if found != wanted:
            do = f"remove the altered files of .dvc/cache, then `git checkout {tag} && dvc pull data.dvc`"
            raise NotReproducible(f"rows of {name} with hash {wanted}", came=found, do=do)
    get_logger().info("snapshot", state="verified", tag=tag)


def heal(
    loop: LoopContext, workspace: Workspace, known: RegisteredVersion, recorded: Training
) -> list[str]:
    """Put back what the model store and the embedder store lack; return the folders."""
    folder, built = (
        loop.settings.models / known.classifier / known.version,
        workspace.folder / "build" / "classifiers" / known.classifier,
    )
    restored = []
    write_digest(folder, recorded.digest)
    if problem_of(folder, digest=recorded.digest):
        model, evaluation = built / "model", built / "evaluation"
        restore_version(
            loop.settings.models,
            classifier=known.classifier,
            version=known.version,
            model=model,
            evaluation=evaluation,
        )
        restored.append(str(folder))
    if loop.settings.kept_embedder(known.tags["embedder_id"]) is None:
        restored.append(
            str(store_embedder(loop.settings.embedders, workspace.folder / "build" / "embedder"))
        )
    return restored


def _notes(loop: LoopContext, known: RegisteredVersion, recorded: Training) -> list[str]:
    problem = problem_of(
        loop.settings.models / known.classifier / known.version, digest=recorded.digest
    )
    return [f"the stored head of version {known.version}: {problem}"] if problem else []


def _surroundings(known: RegisteredVersion) -> Mapping[str, str]:
    return json.loads(known.tags.get("surroundings", "{}"))
