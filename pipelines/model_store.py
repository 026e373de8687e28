"""The model store: every retained version's files, under the home."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from core.contracts import ModelVersion
from core.errors import HeadRefused, UnknownVersion
from core.files import appearing_whole
from pipelines.model.digests import recorded_digest, write_digest
from pipelines.model.head_file import head_digest, load_head

STORED_WITH_HEAD = ("reference.parquet", "evaluation.json")


def store_version(
    models: Path, *, classifier: str, version: str, model: Path, evaluation: Path
) -> ModelVersion:
    """Copy the head, its reference rows and evaluation into the model store; the version appears whole or not at all.

    Its digest is written down: nobody uses another head under the number from then on. Raises `HeadRefused` when the head is damaged, or
    when another one has the number.
    """
    folder = models / classifier / version
    with appearing_whole(folder) as part:
        shutil.copytree(model, part)
        for name in STORED_WITH_HEAD:
            shutil.copy(evaluation / name, part / name)
        _claim_number(folder, head_digest(part))
    return stored_version(models, classifier=classifier, version=version)


def _claim_number(folder: Path, digest: str) -> None:
    try:
        recorded = recorded_digest(folder)
    except HeadRefused:
        write_digest(folder, digest)
        return
    if recorded != digest:
        do = "move the old model store away: it belongs to another MLflow"
        raise HeadRefused(
            f"version {folder.name} of {folder.parent.name} to be new",
            came="another head under that number",
            do=do,
        )


def store_embedder(embedders: Path, built: Path) -> Path:
    """Keep the embedder under its id, once; return its folder."""
    target = embedders / json.loads((built / "embedder.json").read_text())["embedder_id"]
    if not target.exists():
        with appearing_whole(target) as part:
            shutil.copytree(built, part)
    return target


def stored_version(models: Path, *, classifier: str, version: str) -> ModelVersion:
    """Describe a retained version; raises `UnknownVersion`, or `HeadRefused` when its files are not those that were registered."""
    folder, named = models / classifier / version, classifier.isidentifier()
    if not (named and version.isascii() and version.isdigit() and folder.is_dir()):
        kept = sorted(entry.name for entry in (models / classifier).glob("[0-9]*")) if named else []
        raise UnknownVersion(
            f"a retained version of {classifier}",
            came=repr(version),
            do=f"name one of {', '.join(kept) or 'none yet'}",
        )
    recorded, head = recorded_digest(folder), load_head(folder)
    if problem := problem_of(folder, digest=recorded):
        do = f"restore it: `perennial reproduce {classifier} {version}`"
        raise HeadRefused(
            f"version {version} of {classifier} as it was registered, of digest {recorded}",
            came=problem,
            do=do,
        )
    return ModelVersion(classifier, version, str(folder.resolve()), recorded, head.embedder_id)


def problem_of(folder: Path, *, digest: str) -> str:
    """What keeps a stored head from being the recorded one, in one clause; "" when nothing does."""
    if not folder.is_dir():
        return "its files are gone"
    try:
        found = head_digest(folder)
    except HeadRefused as error:
        return error.came
    return "" if found == digest else f"another head, of digest {found}"


def restore_version(
    models: Path, *, classifier: str, version: str, model: Path, evaluation: Path
) -> ModelVersion:
    """Put a version's files back; damaged ones are set aside as `.<version>.damaged`."""
    folder, aside = models / classifier / version, models / classifier / f".{version}.damaged"
    if folder.exists():
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
    return store_version(
        models, classifier=classifier, version=version, model=model, evaluation=evaluation
    )
