"""PhraseClassifier: clean_phrase, embedder and head in the one class that is trained and served."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.contracts import Prediction
from pipelines.model.arrays import Float32
from pipelines.model.embedder import Embed
from pipelines.model.head_file import Head
from pipelines.model.text import clean_phrase


class PhraseClassifier:
    """Predicts labels. All text passes `clean_phrase`; all prediction passes through here."""

    def __init__(self, head: Head, embed: Embed) -> None:
        self.head = head
        self.embed = embed

    def predict(self, phrases: Sequence[str], *, top: int = 5) -> list[Prediction]:
        """Return one prediction per phrase, in order, with up to `top - 1` alternatives."""
        cleaned = [clean_phrase(phrase) for phrase in phrases]
        return self.predict_cleaned(cleaned, self.embed(cleaned), top=top)

    def predict_cleaned(
        self, cleaned: Sequence[str], vectors: Float32, *, top: int = 5
    ) -> list[Prediction]:
        """Do what `predict` does, for phrases already cleaned and embedded, `vectors` (n, d)."""
        return rank_labels(self.head.labels, self.head.probabilities(cleaned, vectors), top=top)


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
