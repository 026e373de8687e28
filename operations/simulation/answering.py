"""What answers: a head, and beside it the memory when there is one. Answers are kept by phrase."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from operations.simulation.memory import PhraseEvidence
from pipelines.model.embedder import Embed
from pipelines.model.head_file import Head

Answer = tuple[str, float]
_CHUNK = 2048


class Answering:
    """Label and probability of phrases, by one head and the newest revision of a memory."""

    def __init__(
        self,
        head: Head,
        embed: Embed,
        *,
        version: str,
        memory: Mapping[str, PhraseEvidence] | None = None,
    ) -> None:
        self.head = head
        self.version = version
        self.embed = embed
        self._memory = memory
        self._column = {label: place for place, label in enumerate(head.labels)}
        self._answers: dict[str, Answer] = {}
        self._rows: dict[str, np.ndarray] = {}

    def beside(self, memory: Mapping[str, PhraseEvidence] | None) -> Answering:
        """The same head beside another memory."""
        return Answering(self.head, self.embed, version=self.version, memory=memory)

    def answer(self, cleaned: Sequence[str]) -> list[Answer]:
        """In the order of the phrases."""
        new = [phrase for phrase in dict.fromkeys(cleaned) if phrase not in self._answers]
        for start in range(0, len(new), _CHUNK):
            self._answer_new(new[start : start + _CHUNK])
        return [self._answers[phrase] for phrase in cleaned]

    def overruled(self, cleaned: Sequence[str]) -> list[str | None]:
        """Return the head's own label where the memory changed the answer, None elsewhere."""
        answers = self.answer(cleaned)
        own = [self.head.labels[int(self._rows[phrase].argmax())] for phrase in cleaned]
        return [
            label if label != answer else None
            for label, (answer, _) in zip(own, answers, strict=True)
        ]

    def forget(self, changed: Iterable[str]) -> None:
        """Answer these phrases anew: their evidence has changed."""
        for phrase in changed:
            self._answers.pop(phrase, None)

    def _answer_new(self, phrases: Sequence[str]) -> None:
        missing = [phrase for phrase in phrases if phrase not in self._rows]
        if missing:
            rows = self.head.probabilities(missing, self.embed(missing))
            self._rows.update(zip(missing, rows, strict=True))
        for phrase in phrases:
            self._answers[phrase] = self._best(phrase)

    def _best(self, phrase: str) -> Answer:
        row = self._rows[phrase]
        place = int(row.argmax())
        best = (self.head.labels[place], float(row[place]))
        evidence = self._memory.get(phrase) if self._memory is not None else None
        if evidence is None:
            return best
        best = (best[0], evidence.head_share * best[1])
        for label, weight in zip(evidence.labels, evidence.weights.tolist(), strict=True):
            column = self._column.get(label)
            own = float(row[column]) if column is not None else 0.0
            probability = evidence.head_share * own + weight
            if probability > best[1] or (label == best[0] and probability >= best[1]):
                best = (label, probability)
        return best
