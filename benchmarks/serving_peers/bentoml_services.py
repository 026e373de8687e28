"""BentoML as it comes: two services, one depends on the other, every option at its default. `bentoml serve ...:Classifier`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import bentoml
import numpy as np

from pipelines.model.classifier import PhraseClassifier
from pipelines.model.embedder import load_model
from pipelines.model.head_file import load_head
from pipelines.model.text import clean_phrase


def _elsewhere(cleaned: Any) -> np.ndarray:
    raise AssertionError("the classifier does not embed")


@bentoml.service
class Embedder:
    """Cleaned phrases to vectors."""

    def __init__(self) -> None:
        self._embed = load_model(
            Path(os.environ["BENCH_EMBEDDER"]), runtime=os.environ["BENCH_RUNTIME"]
        )

    @bentoml.api
    def embed(self, cleaned: list[str]) -> np.ndarray:
        """float32 (n, d)."""
        return self._embed(cleaned)


@bentoml.service
class Classifier:
    """Phrases to answers."""

    embedder = bentoml.depends(Embedder)

    def __init__(self) -> None:
        self._classifier = PhraseClassifier(load_head(Path(os.environ["BENCH_HEAD"])), _elsewhere)

    @bentoml.api
    def predict(self, phrase: str) -> dict[str, Any]:
        """Answer one."""
        cleaned = [clean_phrase(phrase)]
        [one] = self._classifier.predict_cleaned(cleaned, np.asarray(self.embedder.embed(cleaned)))
        alternatives = [{"label": label, "probability": share} for label, share in one.alternatives]
        return {"label": one.label, "probability": one.probability, "alternatives": alternatives}
