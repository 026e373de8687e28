"""PhraseClassifier: clean_phrase, embedder and head in the one class that is trained and served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from core.contracts import Prediction
from pipelines.model.arrays import Float32
from pipelines.model.embedder import Embed
from pipelines.model.head_file import Head
from pipelines.model.memory import AppliedMemory, Memory
from pipelines.model.text import clean_phrase


class PhraseClassifier:
    """Predicts labels. All text passes `clean_phrase`; all prediction passes through here.

    With a `memory`, the labels that a phrase itself had stand beside the head.
    """

    def __init__(self, head: Head, embed: Embed, *, memory: Memory | None = None) -> None:
        self.head = head
        self.embed = embed
        self.memory = None if memory is None else AppliedMemory.beside(memory, head.labels)

    def predict(self, phrases: Sequence[str], *, top: int = 5) -> list[Prediction]:
        """Return one prediction per phrase, in order, with up to `top - 1` alternatives."""
        cleaned = [clean_phrase(phrase) for phrase in phrases]
        return self.predict_cleaned(cleaned, self.embed(cleaned), top=top, memory=self.memory)

    def predict_cleaned(
        self,
        cleaned: Sequence[str],
        vectors: Float32,
        *,
        top: int = 5,
        memory: AppliedMemory | None = None,
    ) -> list[Prediction]:
        """Do what `predict` does, for phrases already cleaned and embedded, `vectors` (n, d).

        The memory is the one given here.
        """
        probabilities = self.head.probabilities(cleaned, vectors)
        if memory is None:
            return rank_labels(self.head.labels, probabilities, top=top)
        mixed = rank_labels(memory.labels, memory.apply(cleaned, probabilities), top=top)
        heads_own = probabilities.argmax(axis=1).tolist()
        return [
            _remembered(prediction, self.head.labels[own]) if memory.knows(text) else prediction
            for text, prediction, own in zip(cleaned, mixed, heads_own, strict=True)
        ]


def best_labels(head: Head, cleaned: Sequence[str], vectors: Float32) -> list[str]:
    """Return the most probable label of each phrase."""
    return [head.labels[place] for place in head.probabilities(cleaned, vectors).argmax(axis=1)]


def rank_labels(labels: Sequence[str], probabilities: Float32, *, top: int) -> list[Prediction]:
    """Rank the labels of each row of `probabilities`, (n, labels), the most probable first.

    Equal probabilities keep the order of `labels`.
    """
    places = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    best = np.take_along_axis(probabilities, places, axis=1).tolist()
    return [
        _prediction(labels, row, shares) for row, shares in zip(places.tolist(), best, strict=True)
    ]


def _remembered(prediction: Prediction, head_label: str) -> Prediction:
    changed = head_label if head_label != prediction.label else None
    return replace(prediction, known=True, head_label=changed)


def _prediction(labels: Sequence[str], places: list[int], shares: list[float]) -> Prediction:
    ranked = [(labels[place], share) for place, share in zip(places, shares, strict=True)]
    return Prediction(label=ranked[0][0], probability=ranked[0][1], alternatives=tuple(ranked[1:]))


def novelty(head: Head, vectors: Float32) -> Float32:
    """Return 1 - the largest cosine to a label centroid: float32 (n,), in [0, 2].

    `vectors`, (n, d), are scaled to unit length first.
    """
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    cosines = (vectors / lengths) @ head.centroids.T
    distances: Float32 = (1 - cosines.max(axis=1)).astype(np.float32)
    return distances
