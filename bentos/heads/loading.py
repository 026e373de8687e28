"""One version, loaded and looked at before it may answer: digest, embedder, labels, and what it says of a probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.contracts import ModelVersion, Role
from core.errors import HeadRefused
from pipelines.model.classifier import PhraseClassifier
from pipelines.model.head_file import Head, load_checked

HEAD_FILES = ("head.json", "head.npz")
LABELS_KEPT = 0.5  # of the version that answers now: fewer is the answer to another question, not a label more or less
_DO = "train again, or roll back"


@dataclass(frozen=True, slots=True)
class LiveModel:
    """A loaded version and the role it plays."""

    model: ModelVersion
    role: Role
    classifier: PhraseClassifier
    labels: tuple[str, ...]


def load_live(model: ModelVersion, role: Role, *, home: Path, embedder_id: str) -> LiveModel:
    """Load a version and try it out; raise `HeadRefused` when it may not answer."""
    head = load_checked(home / model.head_location, digest=model.head_digest)
    for found in (model.embedder_id, head.embedder_id):
        if found != embedder_id:
            raise HeadRefused(
                f"a head for embedder {embedder_id}",
                came=f"one for {found}",
                do="serve a bento built with that embedder",
            )
    probe(head)
    return LiveModel(model, role, PhraseClassifier(head, _embedded_elsewhere), head.labels)


def signature(folder: Path) -> tuple:
    """What changes when a head's files change: sizes and moments; of a missing file its name."""
    stats = [(folder / name).stat() if (folder / name).exists() else name for name in HEAD_FILES]
    return tuple(one if isinstance(one, str) else (one.st_size, one.st_mtime_ns) for one in stats)


def probe(head: Head) -> None:
    """Answer before taking traffic: the label names, with the label centroids as their vectors.

    This also does the imports and preparations that the first request would wait for. Raises `HeadRefused` when an answer is no
    distribution over the labels, or is the same for all; a head of text alone may know no label name, and is not held to the latter.
    """
    vectors = np.concatenate(
        [head.centroids, np.full((1, head.centroids.shape[1]), 0.01, np.float32)]
    )
    try:
        answers = head.probabilities([*head.labels, "a phrase"], vectors)
    except (ValueError, IndexError, KeyError) as error:
        raise HeadRefused(
            "a head that answers", came=f"{type(error).__name__}: {error}", do=_DO
        ) from None
    if answers.shape != (len(vectors), len(head.labels)) or not np.all(
        np.abs(answers.sum(axis=1) - 1) < 1e-3
    ):
        raise HeadRefused(
            "probabilities that sum to 1",
            came=f"{answers.sum(axis=1)[:3]} over {answers.shape}",
            do=_DO,
        )
    if "ngram_values" in head.arrays and "weights" not in head.arrays:
        return
    if not np.ptp(answers, axis=0).any():
        raise HeadRefused(
            "a head that tells phrases apart",
            came=f"one answer to all {len(vectors)} of a probe",
            do=_DO,
        )


def refuse_other_question(labels: Sequence[str], *, beside: Sequence[str]) -> None:
    """Raise `HeadRefused` when a head lacks more than half of the labels of the version that answers now: another question's head."""
    kept = len(set(labels) & set(beside))
    if kept < LABELS_KEPT * len(beside):
        came = f"a head that knows {kept} of them"
        do = "roll back; when the question itself has changed, start the service again with a bento built from it"
        raise HeadRefused(
            f"at least half of the {len(beside)} labels that are answered with now",
            came=came,
            do=do,
        )


def _embedded_elsewhere(_: Sequence[str]) -> np.ndarray:
    raise AssertionError("the classifier service embeds in the embedder service")
