"""Stage `embed`: every distinct cleaned phrase of all datasets, once; only new ones are computed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from core.errors import StageFailed
from core.logs import get_logger
from pipelines.model.embedder import Embed, load_embedder
from pipelines.model.text import clean_learnable
from pipelines.stages.files import DATA, EMBEDDER, EMBEDDINGS, read_json, read_rows
from pipelines.stages.vectors import _store, _stored

FILLER = "a b c d e f g h i j k l m n o p"
STEADY_BATCH = 256  # a multiple of what a runtime takes in one call
STEADY_PHRASES = STEADY_BATCH - 8


def run() -> None:
    """Read data/*/rows.parquet and build/embedder; write build/embeddings/{phrases.parquet,vectors.npy,embedder.json}."""
    phrases, embedder = distinct_phrases(DATA), read_json(EMBEDDER / "embedder.json")
    kept, vectors = _stored(EMBEDDINGS, embedder["embedder_id"])

    def embed(new: Sequence[str]) -> np.ndarray:
        return embed_steadily(new, embed=load_embedder(EMBEDDER))

    merged = merge_vectors(phrases, kept, vectors, embed=embed, width=embedder["dimensions"])
    _store(EMBEDDINGS, phrases, merged, embedder["embedder_id"])


def distinct_phrases(data: Path) -> list[str]:
    """Every distinct cleaned phrase of the snapshots below `data`, sorted by code point; those that no classifier learns left out."""
    found: set[str] = set()
    for path in sorted(data.glob("*/rows.parquet")):
        found.update(
            pc.unique(read_rows(path, columns=["phrase"])["phrase"]).drop_null().to_pylist()
        )
    if not found:
        raise StageFailed(
            "at least one phrase in data/*/rows.parquet", came="none", do="run `make data`"
        )
    return sorted({clean_learnable(phrase) for phrase in found} - {""})


def merge_vectors(
    phrases: Sequence[str], kept: Sequence[str], vectors: np.ndarray, *, embed: Embed, width: int
) -> np.ndarray:
    """float32 (len(phrases), width): vectors of `kept` phrases are reused, the rest is embedded; `embed` is called for those only."""
    known = {phrase: place for place, phrase in enumerate(kept)}
    places = np.array([known.get(phrase, -1) for phrase in phrases])
    new = [phrase for phrase, place in zip(phrases, places, strict=True) if place < 0]
    get_logger().info("embed", reused=len(phrases) - len(new), new=len(new))
    merged = np.empty((len(phrases), width), np.float32)
    if len(new) < len(phrases):
        merged[places >= 0] = vectors[places[places >= 0]]
    if new:
        merged[places < 0] = embed(new)
    return merged


def embed_steadily(phrases: Sequence[str], *, embed: Embed) -> np.ndarray:
    """Embed so that a vector does not depend on its neighbours, bit for bit: an increment equals a fresh start.

    A matrix product takes the last rows of a batch through another kernel (2e-7). So every batch has the same size, and its
    last places hold a filler.
    """
    parts = []
    for start in range(0, len(phrases), STEADY_PHRASES):
        batch = list(phrases[start : start + STEADY_PHRASES])
        parts.append(embed(batch + [FILLER] * (STEADY_BATCH - len(batch)))[: len(batch)])
    return np.concatenate(parts)
