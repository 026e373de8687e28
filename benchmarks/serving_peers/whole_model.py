"""A model in one process: embedder, head and, optionally, an LRU of answers by cleaned phrase."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.contracts import Prediction
from pipelines.model.classifier import PhraseClassifier
from pipelines.model.embedder import load_model
from pipelines.model.head_file import load_head
from pipelines.model.text import clean_phrase

EncodedAnswer = dict[str, Any]


class WholeModel:
    """One classifier. `remembered` is the size of the LRU, 0 for none."""

    def __init__(self, *, embedder: Path, runtime: str, head: Path, remembered: int) -> None:
        self._classifier = PhraseClassifier(load_head(head), load_model(embedder, runtime=runtime))
        self._known: OrderedDict[str, EncodedAnswer] = OrderedDict()
        self._remembered = remembered
        self.hits = 0
        self.requested = 0

    def answer(self, phrases: Sequence[str]) -> list[EncodedAnswer]:
        """Return label, probability and four alternatives per phrase, in order."""
        cleaned = [clean_phrase(phrase) for phrase in phrases]
        missing = list(dict.fromkeys(text for text in cleaned if text not in self._known))
        computed: dict[str, EncodedAnswer] = {}
        if missing:
            predictions = self._classifier.predict(missing)
            computed = dict(zip(missing, map(_encode, predictions), strict=True))
        self.requested += len(cleaned)
        self.hits += sum(text in self._known for text in cleaned)
        answers = [computed.get(text) or self._known[text] for text in cleaned]
        if self._remembered:
            self._keep(cleaned, answers)
        return answers

    def _keep(self, cleaned: Sequence[str], answers: Sequence[EncodedAnswer]) -> None:
        for text, answer in zip(cleaned, answers, strict=True):
            self._known[text] = answer
            self._known.move_to_end(text)
        while len(self._known) > self._remembered:
            self._known.popitem(last=False)


def _encode(prediction: Prediction) -> EncodedAnswer:
    alternatives = [
        {"label": label, "probability": share} for label, share in prediction.alternatives
    ]
    return {
        "label": prediction.label,
        "probability": prediction.probability,
        "alternatives": alternatives,
    }


def from_environment() -> WholeModel:
    """Build the model of BENCH_EMBEDDER, BENCH_RUNTIME, BENCH_HEAD and BENCH_LRU."""
    variables = os.environ
    return WholeModel(
        embedder=Path(variables["BENCH_EMBEDDER"]),
        runtime=variables["BENCH_RUNTIME"],
        head=Path(variables["BENCH_HEAD"]),
        remembered=int(variables["BENCH_LRU"]),
    )
