"""BentoML with default options: two services, one of which depends on the other.

Run it with `bentoml serve ...:Classifier`.
"""

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
    """Turns cleaned phrases into vectors."""

    def __init__(self) -> None:
        self._embed = load_model(
            Path(os.environ["BENCH_EMBEDDER"]), runtime=os.environ["BENCH_RUNTIME"]
        )

    @bentoml.api  # type: ignore[untyped-decorator]  # BentoML has no types for it
    def embed(self, cleaned: list[str]) -> np.ndarray:
        """Return vectors, float32 (n, d)."""
        return self._embed(cleaned)


@bentoml.service
class Classifier:
    """Turns phrases into answers."""

    embedder = bentoml.depends(Embedder)

    def __init__(self) -> None:
        self._classifier = PhraseClassifier(load_head(Path(os.environ["BENCH_HEAD"])), _elsewhere)

    @bentoml.api  # type: ignore[untyped-decorator]  # BentoML has no types for it
    def predict(self, phrase: str) -> dict[str, Any]:
        """Answer one phrase."""
        cleaned = [clean_phrase(phrase)]
        vectors = np.asarray(self.embedder.embed(cleaned))
        [answer] = self._classifier.predict_cleaned(cleaned, vectors)
        alternatives = [
            {"label": label, "probability": share} for label, share in answer.alternatives
        ]
        return {
            "label": answer.label,
            "probability": answer.probability,
            "alternatives": alternatives,
        }
