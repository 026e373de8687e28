"""The model store: the files of every retained version, in one folder per classifier and version.

Numbers, scores and tags of the versions are in MLflow (`pipelines/registry.py`).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from core.contracts import ModelVersion
from core.errors import HeadRefused, UnknownVersion
from core.files import appearing_whole
from pipelines.model.abstention import FILE as ABSTENTION
from pipelines.model.digests import (
    recorded_digest,
    recorded_judged_digest,
    write_abstention_digest,
    write_digest,
    write_judged_digest,
)
from pipelines.model.head_file import JUDGED, Head, head_digest, load_checked, load_head
from pipelines.model.registered_rule import abstention_digest, load_promised

ERRORS = "errors"
"""Folder of the error report beside a head; versions of earlier releases have none."""
STORED_WITH_HEAD = ("reference.parquet", "evaluation.json")
"""Files of the evaluation that are stored beside the head, with its rule of abstention.

Evaluations of earlier releases have no rule: such a version always answers.
"""


def store_version(
    models: Path,
    *,
    classifier: str,
    version: str,
    model: Path,
    evaluation: Path,
    errors: Path | None = None,
) -> ModelVersion:
    """Copy the head, its reference rows, its evaluation and its error report into the model store.

    The version appears whole or not at all. Its digest is recorded, so that no other head is
    used under the number.

    Raises
    ------
    HeadRefused
        The head is damaged, or another head has the number.
    """
    folder = models / classifier / version
    with appearing_whole(folder) as part:
        shutil.copytree(model, part)
        for name in STORED_WITH_HEAD:
            shutil.copy(evaluation / name, part / name)
        if (evaluation / ABSTENTION).exists():
            shutil.copy(evaluation / ABSTENTION, part / ABSTENTION)
        if errors is not None:
            shutil.copytree(errors, part / ERRORS)

        _claim_number(folder, head_digest(part))
        if promised := abstention_digest(part):
            write_abstention_digest(folder, promised)
        if (part / JUDGED).is_dir():
            write_judged_digest(folder, head_digest(part / JUDGED))
    return stored_version(models, classifier=classifier, version=version)


def _claim_number(folder: Path, digest: str) -> None:
    try:
        recorded = recorded_digest(folder)
    except HeadRefused:
        write_digest(folder, digest)
        return
    if recorded != digest:
        raise HeadRefused(
            f"version {folder.name} of {folder.parent.name} to be new",
            came="another head under that number",
            do="move the old model store away: it belongs to another MLflow",
        )


def store_embedder(embedders: Path, built: Path) -> Path:
    """Copy the embedder to the folder of its id, unless it is there; return that folder."""
    embedder_id: str = json.loads((built / "embedder.json").read_text())["embedder_id"]
    target = embedders / embedder_id
    if not target.exists():
        with appearing_whole(target) as part:
            shutil.copytree(built, part)
    return target


def stored_version(models: Path, *, classifier: str, version: str) -> ModelVersion:
    """Return a retained version.

    Raises
    ------
    UnknownVersion
        The store has no such classifier or version.
    HeadRefused
        Its files are not those that were registered.
    """
    folder = models / classifier / version
    if not (_may_be_folders(classifier, version) and folder.is_dir()):
        retained = ", ".join(_retained_versions(models, classifier))
        raise UnknownVersion(
            f"a retained version of {classifier}",
            came=repr(version),
            do=f"name one of {retained}" if retained else f"run `perennial retrain {classifier}`",
        )

    recorded = recorded_digest(folder)
    head = load_head(folder)
    if problem := problem_of(folder, digest=recorded):
        raise HeadRefused(
            f"version {version} of {classifier} as it was registered, of digest {recorded}",
            came=problem,
            do=f"restore it: `perennial reproduce {classifier} {version}`",
        )
    return ModelVersion(classifier, version, str(folder.resolve()), recorded, head.embedder_id)


def judged_head(version: ModelVersion) -> Head:
    """Return the head that test rows may judge: it has not seen them.

    A version of an earlier release has one head alone, which had not seen them either. Raises
    `HeadRefused` when the files are not those that were registered.
    """
    folder = Path(version.head_location)
    digest = recorded_judged_digest(folder)
    if digest:
        return load_checked(folder / JUDGED, digest=digest)
    return load_checked(folder, digest=version.head_digest)


def has_judged_head(version: ModelVersion) -> bool:
    """Return False for a version of an earlier release."""
    return recorded_judged_digest(Path(version.head_location)) != ""


def _may_be_folders(classifier: str, version: str) -> bool:
    """Return True for names that cannot lead out of the store."""
    return classifier.isidentifier() and version.isascii() and version.isdigit()


def _retained_versions(models: Path, classifier: str) -> list[str]:
    if not classifier.isidentifier():
        return []
    return sorted(entry.name for entry in (models / classifier).glob("[0-9]*"))


def problem_of(folder: Path, *, digest: str) -> str:
    """Return in one clause why a stored head is not the recorded one; "" when it is."""
    if not folder.is_dir():
        return "no files"
    try:
        present = head_digest(folder)
    except HeadRefused as error:
        return error.came
    if present != digest:
        return f"another head, of digest {present}"
    return _judged_problem(folder) or _abstention_problem(folder)


def _abstention_problem(folder: Path) -> str:
    try:
        load_promised(folder)
    except HeadRefused as error:
        return f"an unusable rule of abstention ({error.came})"
    return ""


def _judged_problem(folder: Path) -> str:
    recorded = recorded_judged_digest(folder)
    if not recorded:
        return ""
    try:
        present = head_digest(folder / JUDGED)
    except HeadRefused as error:
        return f"an unusable judged head ({error.came})"
    return "" if present == recorded else f"another judged head, of digest {present}"


def restore_version(
    models: Path, *, classifier: str, version: str, model: Path, evaluation: Path
) -> ModelVersion:
    """Put a version's files back; damaged ones move to `.<version>.damaged`."""
    folder = models / classifier / version
    aside = models / classifier / f".{version}.damaged"
    if folder.exists():
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
    return store_version(
        models,
        classifier=classifier,
        version=version,
        model=model,
        evaluation=evaluation,
        errors=aside / ERRORS if (aside / ERRORS).is_dir() else None,
    )
