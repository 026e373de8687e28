"""PhraseClassifier: clean_phrase, embedder and head in the one class that is trained and served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from core.contracts import Prediction
from pipelines.model.abstention import Abstention
from pipelines.model.arrays import Float32
from pipelines.model.embedder import Embed
from pipelines.model.head_file import Head
from pipelines.model.memory import AppliedMemory, Memory
from pipelines.model.novelty import distance_to_label, novelty
from pipelines.model.text import clean_phrase


class PhraseClassifier:
    """Predicts labels. All text passes `clean_phrase`; all prediction passes through here.

    With a `memory`, the labels that a phrase itself had stand beside the head. With an
    `abstention`, phrases that no label fits are refused, unless the memory knows them.
    """

    def __init__(
        self,
        head: Head,
        embed: Embed,
        *,
        memory: Memory | None = None,
        abstention: Abstention | None = None,
    ) -> None:
        self.head = head
        self.embed = embed
        self.abstention = abstention
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
            own = rank_labels(self.head.labels, probabilities, top=top)
            return self._with_refusals(own, probabilities, vectors)
        mixed = rank_labels(memory.labels, memory.apply(cleaned, probabilities), top=top)
        heads_own = probabilities.argmax(axis=1).tolist()
        answers = [
            _remembered(prediction, self.head.labels[own]) if memory.knows(text) else prediction
            for text, prediction, own in zip(cleaned, mixed, heads_own, strict=True)
        ]
        return self._with_refusals(answers, probabilities, vectors)

    def _with_refusals(
        self, answers: list[Prediction], probabilities: Float32, vectors: Float32
    ) -> list[Prediction]:
        """Mark the answers to phrases that no label fits; `probabilities` are the head's own."""
        if self.abstention is None or not answers:
            return answers
        refused = set(refused_places(self.head, self.abstention, probabilities, vectors))
        return [
            replace(answer, abstained=True) if place in refused and not answer.known else answer
            for place, answer in enumerate(answers)
        ]


def refused_places(
    head: Head, rule: Abstention, probabilities: Float32, vectors: Float32
) -> list[int]:
    """Return the rows of `probabilities`, (n, labels), that a rule refuses.

    The novelty is at most the distance to the best label, which alone decides for most phrases:
    the centroids of all labels are a matrix that is rarely in the processor's cache.
    """
    best = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    at_most = distance_to_label(head, vectors, best)
    doubtful = np.flatnonzero(rule.refuses(confidence, at_most))
    if not len(doubtful):
        return []
    far = novelty(head, vectors[doubtful])
    refused: list[int] = doubtful[rule.refuses(confidence[doubtful], far)].tolist()
    return refused


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
