"""Stage `train`: fits a head on the training rows and their embeddings; writes the head file."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import TypeAdapter

from core.head_params import Head as HeadParams
from pipelines.model.head_file import save_head
from pipelines.model.heads import TrainingRows, fit_head
from pipelines.stages.files import EMBEDDINGS, SPEC, classifier_folder, read_json, read_rows
from pipelines.stages.vectors import read_vectors


def run(key: str) -> None:
    """Train the head of one classifier.

    Reads build/spec/<key>/head.json, the split and build/embeddings; writes
    build/classifiers/<key>/model/.
    """
    spec: dict[str, Any] = read_json(SPEC / key / "head.json")
    seed = spec.pop("seed")
    params: HeadParams = TypeAdapter(HeadParams).validate_python(spec)
    embedder_id = read_json(EMBEDDINGS / "embedder.json")["embedder_id"]
    head = fit_head(params, training=training_rows(key), embedder_id=embedder_id, seed=seed)
    save_head(head, classifier_folder(key) / "model")


def training_rows(key: str) -> TrainingRows:
    """Return the training part of the split with its embeddings."""
    table = read_rows(classifier_folder(key) / "split" / "train.parquet")
    cleaned = table["cleaned"].to_pylist()
    return TrainingRows(
        cleaned=np.array(cleaned, dtype=object),
        labels=np.array(table["label"].to_pylist(), dtype=str),
        weights=table["rows"].to_numpy().astype(np.float64),
        vectors=read_vectors(cleaned),
        validation=table["validation"].to_numpy(zero_copy_only=False),
    )
