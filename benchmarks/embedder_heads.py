"""Trains and tests the heads of classifiers on the vectors of each runtime of the embedder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import progress, table
from core.params.schema import load_params
from pipelines.model.heads import fit_head
from pipelines.model.training import TrainingRows
from pipelines.stages.files import classifier_folder, read_rows
from pipelines.stages.scores import ScoredAnswers, score

Quality = Mapping[str, Mapping[str, Mapping[str, float]]]  # classifier, runtime, score
SCORES = (
    "weighted_f1",
    "macro_f1",
    "unseen_weighted_f1",
    "unseen_macro_f1",
    "calibration_error",
)


def compare_heads(
    name: str, phrases: Sequence[str], vectors: Mapping[str, np.ndarray]
) -> dict[str, dict[str, float]]:
    """Train and test the classifier's own head and split on the vectors of each runtime."""
    folder = classifier_folder(name) / "split"
    params = load_params(Path("params.yaml"))
    training = read_rows(folder / "train.parquet").to_pydict()
    recent = read_rows(folder / "recent.parquet").to_pylist()
    tested = [row for row in recent if row["part"] == "test"]
    places = {phrase: place for place, phrase in enumerate(phrases)}

    scores = {}
    for runtime, runtime_vectors in vectors.items():
        progress(f"training {name} on {runtime}")
        rows = TrainingRows(
            cleaned=np.array(training["cleaned"], dtype=object),
            labels=np.array(training["label"], dtype=str),
            weights=np.array(training["rows"], np.float64),
            vectors=runtime_vectors[[places[phrase] for phrase in training["cleaned"]]],
            validation=np.array(training["validation"]),
        )
        head = fit_head(
            params.classifier(name).head, training=rows, embedder_id=runtime, seed=params.seed
        )
        scores[runtime] = score_head(head, tested, runtime_vectors, places)
    return scores


def score_head(
    head: Any, tested: Sequence[Mapping[str, Any]], vectors: np.ndarray, places: Mapping[str, int]
) -> dict[str, float]:
    """Score all test rows, and separately (`unseen_`) those whose phrase was not in training."""
    distinct = list(dict.fromkeys(row["cleaned"] for row in tested))
    shares = head.probabilities(distinct, vectors[[places[phrase] for phrase in distinct]])
    best = {
        phrase: (head.labels[share.argmax()], share.max())
        for phrase, share in zip(distinct, shares, strict=True)
    }
    answers = ScoredAnswers(
        np.array([row["label"] for row in tested], dtype=str),
        np.array([best[row["cleaned"]][0] for row in tested], dtype=str),
        np.array([best[row["cleaned"]][1] for row in tested]),
    )
    unseen = score(answers.only(np.array([not row["seen"] for row in tested])))
    return {**score(answers), **{f"unseen_{key}": value for key, value in unseen.items()}}


def quality_table(quality: Quality) -> str:
    """One row per head and runtime."""
    rows = [
        (name, runtime, *(f"{forms[runtime][key]:.4f}" for key in SCORES))
        for name, forms in quality.items()
        for runtime in forms
    ]
    titles = [name.replace("_", " ") for name in SCORES]
    return table(("head", "trained and tested on", *titles), rows)
