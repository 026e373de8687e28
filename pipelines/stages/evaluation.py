"""What a head answers for its test rows, and the metrics of those answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.model.arrays import Float64, Strings
from pipelines.model.head_file import Head
from pipelines.model.memory import AppliedMemory, Memory
from pipelines.stages.files import EMBEDDINGS, classifier_folder, read_rows
from pipelines.stages.scores import ScoredAnswers, confused_pairs, prefixed, score, score_labels
from pipelines.stages.vectors import read_vectors

TOP_CONFUSED = 20
CHUNK_PHRASES = 4096


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of one version on its test rows, metric name -> value.

    `unseen_metrics` are the same scores on the rows whose phrase was never trained on.
    """

    classifier: str
    rows: int
    metrics: Mapping[str, float]
    unseen_metrics: Mapping[str, float]
    recall_by_label: Mapping[str, float]
    support_by_label: Mapping[str, int]


def tested_rows(key: str) -> pa.Table:
    """Return the rows that a head is tested on."""
    recent = read_rows(classifier_folder(key) / "split" / "recent.parquet")
    return recent.filter(pc.equal(recent["part"], "test"))


def answer_rows(head: Head, rows: pa.Table, *, memory: Memory | None = None) -> pa.Table:
    """Return `rows` with the columns `predicted` and `probability`.

    Each distinct phrase is answered once, by the head, and by the memory where there is one.
    """
    cleaned = rows["cleaned"].combine_chunks().dictionary_encode()
    labels, shares = best_answers(head, cleaned.dictionary.to_pylist(), memory=memory)
    codes = cleaned.indices.to_numpy()
    predicted = pa.array(labels[codes], pa.string())
    probability = pa.array(shares[codes], pa.float64())
    return rows.append_column("predicted", predicted).append_column("probability", probability)


def best_answers(
    head: Head,
    phrases: list[str],
    *,
    memory: Memory | None = None,
    embeddings: Path = EMBEDDINGS,
) -> tuple[Strings, Float64]:
    """Return the most probable label and its probability for each phrase: (n,) each."""
    vectors = read_vectors(phrases, embeddings)
    applied = AppliedMemory.beside(memory, head.labels) if memory else None
    names = np.array(applied.labels if applied else head.labels, dtype=object)
    labels = np.empty(len(phrases), dtype=object)
    shares = np.empty(len(phrases))

    for start in range(0, len(phrases), CHUNK_PHRASES):
        part = slice(start, start + CHUNK_PHRASES)
        probabilities = head.probabilities(phrases[part], vectors[part])
        if applied:
            probabilities = applied.apply(phrases[part], probabilities)
        labels[part] = names[probabilities.argmax(axis=1)]
        shares[part] = probabilities.max(axis=1)
    return labels, shares


def evaluate(key: str, tested: pa.Table) -> dict[str, Any]:
    """Return the fields of `Evaluation`, the scores of every label, and the most confused pairs."""
    answers = answers_of(tested)
    labels = score_labels(answers)
    unseen = ~tested["seen"].to_numpy(zero_copy_only=False)
    evaluation = Evaluation(
        classifier=key,
        rows=len(answers.truth),
        metrics=score(answers),
        unseen_metrics=score(answers.only(unseen)),
        recall_by_label={label: scores["recall"] for label, scores in labels.items()},
        support_by_label={label: int(scores["support"]) for label, scores in labels.items()},
    )
    return {
        **asdict(evaluation),
        "labels": labels,
        "confused": confused_pairs(answers, top=TOP_CONFUSED),
    }


def answers_of(rows: pa.Table) -> ScoredAnswers:
    """Return the columns of answered rows that scores are computed from."""
    return ScoredAnswers(
        truth=np.array(rows["label"].to_pylist(), dtype=str),
        predicted=np.array(rows["predicted"].to_pylist(), dtype=str),
        probability=rows["probability"].to_numpy(),
    )


PARTS = ("unseen", "unseen_near", "unseen_far")
"""Test rows of phrases never trained on; of these, near duplicates of training phrases, others."""


def flat_metrics(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics of all test rows, and those of PARTS with their name in front."""
    flat = dict(evaluation["metrics"])
    for part in PARTS:
        flat |= prefixed(f"{part}_", evaluation.get(f"{part}_metrics", {}))
    return flat
