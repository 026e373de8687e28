"""Loads one version and checks it before it may answer: digest, embedder, labels, a probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.contracts import ModelVersion, Role
from core.errors import HeadRefused
from pipelines.model.abstention import FILE as ABSTENTION
from pipelines.model.classifier import PhraseClassifier
from pipelines.model.head_file import Head, load_checked
from pipelines.model.registered_rule import load_promised

HEAD_FILES = ("head.json", "head.npz")
# The share of the current version's labels that a new one must know: with fewer it answers another
# question.
LABELS_KEPT = 0.5
_DO = "train again, or roll back"

# Size and time of change of each file of a head, or the name of a missing one.
Signature = tuple[tuple[int, int] | str, ...]


@dataclass(frozen=True, slots=True)
class LiveModel:
    """A loaded version and the role it plays."""

    model: ModelVersion
    role: Role
    classifier: PhraseClassifier
    labels: tuple[str, ...]


def load_live(model: ModelVersion, role: Role, *, home: Path, embedder_id: str) -> LiveModel:
    """Load a version and probe it. Raises `HeadRefused` when it may not answer."""
    head = load_checked(home / model.head_location, digest=model.head_digest)
    for head_embedder_id in (model.embedder_id, head.embedder_id):
        if head_embedder_id != embedder_id:
            raise HeadRefused(
                f"a head for embedder {embedder_id}",
                came=f"one for {head_embedder_id}",
                do="serve a bento built with that embedder",
            )
    probe(head)
    abstention = load_promised(home / model.head_location)
    classifier = PhraseClassifier(head, _embedded_elsewhere, abstention=abstention)
    return LiveModel(model, role, classifier, head.labels)


def signature(folder: Path) -> Signature:
    """Return a value that changes when a head's files or its rule of abstention change."""
    return tuple(_file_signature(folder / name) for name in (*HEAD_FILES, ABSTENTION))


def _file_signature(file: Path) -> tuple[int, int] | str:
    if not file.exists():
        return file.name
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def probe(head: Head) -> None:
    """Answer the label names, with the label centroids as their vectors, before taking traffic.

    This also does the imports and preparations that the first request would wait for. Raises
    `HeadRefused` when an answer is not a distribution over the labels, or all answers are the same.
    A head of text alone may know no label name; its answers may be the same.
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
    sums = answers.sum(axis=1)
    right_shape = answers.shape == (len(vectors), len(head.labels))
    if not right_shape or not np.all(np.abs(sums - 1) < 1e-3):
        raise HeadRefused(
            "probabilities that sum to 1", came=f"{sums[:3]} over {answers.shape}", do=_DO
        )
    text_alone = "ngram_values" in head.arrays and "weights" not in head.arrays
    if not text_alone and not np.ptp(answers, axis=0).any():
        raise HeadRefused(
            "a head that tells phrases apart",
            came=f"one answer to all {len(vectors)} of a probe",
            do=_DO,
        )


def refuse_other_question(labels: Sequence[str], *, beside: Sequence[str]) -> None:
    """Raise `HeadRefused` when a head lacks more than half of the current version's labels.

    Such a head was trained for another question.
    """
    shared = len(set(labels) & set(beside))
    if shared < LABELS_KEPT * len(beside):
        raise HeadRefused(
            f"at least half of the {len(beside)} labels of the current version",
            came=f"a head that knows {shared} of them",
            do=(
                "roll back; when the question itself has changed, "
                "restart the service with a bento built from this version"
            ),
        )


def _embedded_elsewhere(_: Sequence[str]) -> np.ndarray:
    raise AssertionError("the classifier service embeds in the embedder service")
