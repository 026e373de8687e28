"""Small training rows, a small snapshot, and a SavedModel made of plain ops."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.model.head_file import Head
from pipelines.model.training import TrainingRows

WORDS = {
    "heart": ("heart", "cardiac", "valve", "coronary", "murmur"),
    "lung": ("lung", "pulmonary", "cough", "asthma", "pleural"),
    "bone": ("bone", "fracture", "femur", "joint", "spinal"),
}
ENDINGS = (
    "acute",
    "chronic",
    "left",
    "right",
    "unspecified",
    "mild",
    "severe",
    "initial",
    "recurrent",
    "with pain",
    "without pain",
)
LAST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
DIMENSIONS = 32


def phrases_of(label: str) -> list[str]:
    """110 phrases of one label, in no order."""
    phrases = [
        f"{word} {first} {second}"
        for word in WORDS[label]
        for first in ENDINGS
        for second in ENDINGS[:4]
        if first != second
    ]
    return sorted(phrases, key=lambda phrase: zlib.crc32(phrase.encode()))[:110]


def vectors_of(cleaned: Sequence[str]) -> np.ndarray:
    """Unit vectors float32 (n, 32): the sum of one fixed random vector a word."""
    rows = [
        sum((_word_vector(word) for word in phrase.split()), np.zeros(DIMENSIONS))
        for phrase in cleaned
    ]
    vectors = np.array(rows, np.float32).reshape(-1, DIMENSIONS)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def _word_vector(word: str) -> np.ndarray:
    return np.random.default_rng(zlib.crc32(word.encode())).normal(size=DIMENSIONS)


def training_rows(labels: Sequence[str] = tuple(WORDS)) -> TrainingRows:
    pairs = [(phrase, label) for label in labels for phrase in phrases_of(label)]
    cleaned = np.array([phrase for phrase, _ in pairs], dtype=object)
    chosen = np.array([zlib.crc32(phrase.encode()) % 10 == 0 for phrase in cleaned])
    counts = np.array([1.0 + zlib.crc32(phrase.encode()) % 7 for phrase in cleaned])
    return TrainingRows(
        cleaned,
        np.array([label for _, label in pairs]),
        counts,
        vectors_of(cleaned.tolist()),
        chosen,
    )


def best_labels(head: Head, cleaned: Sequence[str], vectors: np.ndarray) -> list[str]:
    """The most probable label of each phrase."""
    return [head.labels[place] for place in head.probabilities(cleaned, vectors).argmax(axis=1)]


def write_snapshot(
    folder: Path, *, rows: int = 1500, days: int = 400, dataset: str = "notes"
) -> Path:
    """Write data/<dataset>/ with the label columns `organ` (3) and `course` (2).

    Phrases are drawn Zipf-like; the newest row is of LAST_DAY.
    """
    random = np.random.default_rng(3)
    pairs = [(phrase, label) for label in WORDS for phrase in phrases_of(label)]
    random.shuffle(pairs)
    ranks = np.minimum(random.zipf(1.3, rows) - 1, len(pairs) - 1)
    ages = np.append(0, np.sort(random.uniform(0, days, rows - 1)))[::-1]
    chosen = [pairs[rank] for rank in ranks]
    table = pa.table(
        {
            "id": [f"{number:06d}" for number in range(rows)],
            "phrase": [
                phrase.upper() if number % 5 == 0 else phrase
                for number, (phrase, _) in enumerate(chosen)
            ],
            "occurred_at": pa.array(
                [LAST_DAY - timedelta(days=float(age)) for age in ages], pa.timestamp("us", "UTC")
            ),
            "region": [("north", "south", None)[number % 3] for number in range(rows)],
            "origin": ["source"] * rows,
            "organ": [label for _, label in chosen],
            "course": ["chronic" if "chronic" in phrase else "other" for phrase, _ in chosen],
        }
    )
    place = folder / "data" / dataset
    place.mkdir(parents=True)
    pq.write_table(table, place / "rows.parquet")
    facts = {
        "dataset": dataset,
        "as_of": LAST_DAY.isoformat(),
        "rows": rows,
        "logical_hash": "0",
        "query_hash": "0",
    }
    (place / "snapshot.json").write_text(
        json.dumps({**facts, "label_columns": ["organ", "course"], "query": "", "parameters": {}})
    )
    (place / "previous.json").write_text("{}")
    return place


def save_word_embedder(folder: Path) -> None:
    """Write a SavedModel string[n] -> float32[n,32]: hashed words through a fixed table.

    Imports tensorflow.
    """
    import tensorflow as tf

    class Words(tf.Module):  # type: ignore[misc]  # tensorflow has no types
        def __init__(self) -> None:
            super().__init__(name="words")
            self.table = tf.Variable(
                np.random.default_rng(0).normal(size=(2048, DIMENSIONS)).astype(np.float32),
                trainable=False,
            )

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def __call__(self, phrases: tf.Tensor) -> tf.Tensor:
            words = tf.strings.split(phrases)
            rows = tf.gather(self.table, tf.strings.to_hash_bucket_fast(words.flat_values, 2048))
            summed = tf.math.unsorted_segment_sum(
                rows, words.value_rowids(), tf.shape(phrases, out_type=tf.int64)[0]
            )
            return tf.math.l2_normalize(summed, axis=1)

    tf.saved_model.save(Words(), str(folder))
