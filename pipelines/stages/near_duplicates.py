"""Which phrases are nearly those of other rows: by the cosine of their embeddings."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.model.arrays import Bool, Float32
from pipelines.stages.evaluation import answers_of
from pipelines.stages.scores import score
from pipelines.stages.vectors import read_vectors

NEAR = 0.95
"""Cosine from which on two phrases say the same in nearly the same words. On the demo, 39 % of
the unseen phrases are so near a training phrase, and their accuracy is that of known ones."""
CHUNK_PHRASES = 512


def score_near(tested: pa.Table, pairs: pa.Table) -> dict[str, dict[str, float]]:
    """Score the unseen test rows whose phrase is near a training phrase apart from the others.

    Returns `unseen_near_metrics` and `unseen_far_metrics`. `tested` are answered test rows,
    `pairs` is split/train.parquet.
    """
    unseen = tested.filter(pc.invert(tested["seen"]))
    cleaned = unseen["cleaned"].combine_chunks().dictionary_encode()
    trained = pairs.filter(pc.greater(pairs["rows"], 0))["cleaned"]
    marks = near_any(
        read_vectors(cleaned.dictionary.to_pylist()), read_vectors(pc.unique(trained).to_pylist())
    )
    near = marks[cleaned.indices.to_numpy()]
    answers = answers_of(unseen)
    return {
        "unseen_near_metrics": score(answers.only(near)),
        "unseen_far_metrics": score(answers.only(~near)),
    }


def near_any(phrases: Float32, others: Float32) -> Bool:
    """Mark the phrases with a cosine above NEAR to any of the others: bool (n,).

    Both are embeddings, float32 (n, d) and (m, d); a vector of zeros is near nothing.
    """
    near = np.zeros(len(phrases), bool)
    if not len(others):
        return near
    known = _unit(others)
    for start in range(0, len(phrases), CHUNK_PHRASES):
        part = slice(start, start + CHUNK_PHRASES)
        near[part] = (_unit(phrases[part]) @ known.T).max(axis=1) > NEAR
    return near


def _unit(vectors: Float32) -> Float32:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Float32 = vectors / np.maximum(lengths, np.float32(1e-9))
    return unit
