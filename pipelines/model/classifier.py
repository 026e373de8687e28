"""PhraseClassifier: clean_phrase, embedder and head. The one class that is trained and served."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.contracts import Prediction
from pipelines.model.embedder import Embed
from pipelines.model.head_file import Head
from pipelines.model.text import clean_phrase


class PhraseClassifier:
    """Answers with labels; all text passes `clean_phrase`, all prediction passes here."""

    def __init__(self, head: Head, embed: Embed) -> None:
        self.head, self.embed = head, embed

    def predict(self, phrases: Sequence[str], *, top: int = 5) -> list[Prediction]:
        """One prediction a phrase, in order, with up to `top - 1` alternatives."""
        cleaned = [clean_phrase(phrase) for phrase in phrases]
        return self.predict_cleaned(cleaned, self.embed(cleaned), top=top)

    def predict_cleaned(
        self, cleaned: Sequence[str], vectors: np.ndarray, *, top: int = 5
    ) -> list[Prediction]:
        """As `predict`, for phrases cleaned and embedded before."""
        return rank_labels(self.head.labels, self.head.probabilities(cleaned, vectors), top=top)


def best_labels(head: Head, cleaned: Sequence[str], vectors: np.ndarray) -> list[str]:
    """The most probable label of each phrase."""
    return [head.labels[place] for place in head.probabilities(cleaned, vectors).argmax(axis=1)]


def rank_labels(labels: Sequence[str], probabilities: np.ndarray, *, top: int) -> list[Prediction]:
    """Best first; equal probabilities in the order of the labels."""
    places = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    best = np.take_along_axis(probabilities, places, axis=1).tolist()
    return [
        _prediction(labels, row, shares) for row, shares in zip(places.tolist(), best, strict=True)
    ]


def _prediction(labels: Sequence[str], places: list[int], shares: list[float]) -> Prediction:
    ranked = [(labels[place], share) for place, share in zip(places, shares, strict=True)]
    return Prediction(label=ranked[0][0], probability=ranked[0][1], alternatives=tuple(ranked[1:]))


def novelty(head: Head, vectors: np.ndarray) -> np.ndarray:
    """1 - largest cosine to a label centroid: float32 (n,), in [0, 2]. `vectors` have unit length or are scaled to it."""
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    cosines = (vectors / lengths) @ head.centroids.T
    return (1 - cosines.max(axis=1)).astype(np.float32)
