"""Small heads made of numpy, in a model store, and the roles they play."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from core.contracts import Deployment, ModelVersion
from pipelines.model.digests import write_digest
from pipelines.model.head_file import Head, Line, save_head

EMBEDDER_ID = "tiny-1"
DIMENSIONS = 512
LABELS = ("heart", "lung")


def make_head(
    version: str,
    *,
    labels: Sequence[str] = LABELS,
    embedder_id: str = EMBEDDER_ID,
    line: Line | None = None,
) -> Head:
    """A logistic head whose weights depend on the version only."""
    random = np.random.default_rng(int(version))
    shape = (DIMENSIONS, len(labels))
    centroids = random.normal(size=shape[::-1])
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    arrays: dict[str, np.ndarray] = {
        "weights": random.normal(size=shape).astype(np.float32),
        "bias": np.zeros(len(labels), np.float32),
        "centroids": centroids.astype(np.float16),
    }
    return Head("logistic", tuple(labels), embedder_id, arrays, {"temperature": 1.0}, line=line)


def ensemble_of(svm: Head, logistic: Head, *, weight: float = 1.0) -> Head:
    """An ensemble whose perceptron answers as the logistic head: fitting one takes TensorFlow.

    Rectified units for x and -x give x back.
    """
    dimensions = len(logistic.arrays["weights"])
    identity = np.eye(dimensions, dtype=np.float32)
    output = logistic.arrays["weights"]
    arrays = {
        **svm.arrays,
        "hidden_weights": np.hstack([identity, -identity]),
        "hidden_bias": np.zeros(2 * dimensions, np.float32),
        "output_weights": np.vstack([output, -output]),
        "output_bias": logistic.arrays["bias"],
    }
    settings = {
        **svm.settings,
        "perceptron_temperature": logistic.settings["temperature"],
        "perceptron_weight": weight,
        "mean_temperature": 1.0,
    }
    return Head("ensemble", svm.labels, svm.embedder_id, arrays, settings)


def store_head(home: Path, classifier: str, version: str, **options: Any) -> ModelVersion:
    """Save a head in the model store under `home`."""
    folder = home / "models" / classifier / version
    digest = save_head(make_head(version, **options), folder)
    write_digest(folder, digest)
    return ModelVersion(
        classifier, version, str(folder), digest, options.get("embedder_id", EMBEDDER_ID)
    )


def champion(model: ModelVersion, why: str = "test") -> Deployment:
    return Deployment(model=model, role="champion", share=1.0, since=datetime.now(UTC), why=why)


def canary(model: ModelVersion, share: float) -> Deployment:
    return Deployment(model=model, role="canary", share=share, since=datetime.now(UTC), why="test")


def shadow(model: ModelVersion) -> Deployment:
    return Deployment(model=model, role="shadow", share=1.0, since=datetime.now(UTC), why="test")
