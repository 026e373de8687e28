"""One process that holds everything: embedder, head and, when asked for, an LRU of answers by cleaned phrase."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.model.classifier import PhraseClassifier
from pipelines.model.embedder import load_model
from pipelines.model.head_file import load_head
from pipelines.model.text import clean_phrase

EncodedAnswer = dict[str, Any]


class WholeModel:
    """Answers of one classifier. `remembered`: answers in the LRU, 0 for none."""

    def __init__(self, *, embedder: Path, runtime: str, head: Path, remembered: int) -> None:
        self._classifier = PhraseClassifier(load_head(head), load_model(embedder, runtime=runtime))
        self._known: OrderedDict[str, EncodedAnswer] = OrderedDict()
        self._remembered = remembered
        self.hits = self.asked = 0

    def answer(self, phrases: Sequence[str]) -> list[EncodedAnswer]:
        """Label, probability and four alternatives a phrase, in order."""
        cleaned = [clean_phrase(phrase) for phrase in phrases]
        missing = list(dict.fromkeys(text for text in cleaned if text not in self._known))
        fresh = (
            dict(zip(missing, map(_said, self._classifier.predict(missing)), strict=True))
            if missing
            else {}
        )
        self.asked, self.hits = (
            self.asked + len(cleaned),
            self.hits + sum(text in self._known for text in cleaned),
        )
        answers = [fresh.get(text) or self._known[text] for text in cleaned]
        if self._remembered:
            self._keep(cleaned, answers)
        return answers

    def _keep(self, cleaned: Sequence[str], answers: Sequence[EncodedAnswer]) -> None:
        for text, said in zip(cleaned, answers, strict=True):
            self._known[text] = said
            self._known.move_to_end(text)
        while len(self._known) > self._remembered:
            self._known.popitem(last=False)


def _said(one: Any) -> EncodedAnswer:
    alternatives = [{"label": label, "probability": share} for label, share in one.alternatives]
    return {"label": one.label, "probability": one.probability, "alternatives": alternatives}


def from_environment() -> WholeModel:
    """What the variables BENCH_EMBEDDER, BENCH_RUNTIME, BENCH_HEAD and BENCH_LRU say."""
    said = os.environ
    return WholeModel(
        embedder=Path(said["BENCH_EMBEDDER"]),
        runtime=said["BENCH_RUNTIME"],
        head=Path(said["BENCH_HEAD"]),
        remembered=int(said["BENCH_LRU"]),
    )
