"""Stage `embed`: embeds every distinct cleaned phrase of all datasets; computes only new ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from core.errors import StageFailed
from core.logs import get_logger
from pipelines.model.arrays import Float32
from pipelines.model.embedder import Embed, load_embedder
from pipelines.model.text import clean_learnable
from pipelines.snapshot_files import UNLABELLED
from pipelines.stages.files import DATA, EMBEDDER, EMBEDDINGS, read_json, read_rows
from pipelines.stages.vectors import require_finite, store_vectors, stored_vectors

FILLER = "a b c d e f g h i j k l m n o p"
STEADY_BATCH = 256
"""Phrases per batch; a multiple of what each runtime takes in one call."""
STEADY_PHRASES = STEADY_BATCH - 8
"""Phrases of a batch that are not fillers."""


def run() -> None:
    """Embed the phrases of all snapshots.

    Reads data/*/rows.parquet, data/*/unlabelled.parquet where there is one, and build/embedder;
    writes build/embeddings/{phrases.parquet,vectors.npy,embedder.json}.
    """
    phrases = distinct_phrases(DATA)
    embedder = read_json(EMBEDDER / "embedder.json")
    known, vectors = stored_vectors(EMBEDDINGS, embedder["embedder_id"])

    def embed(new: Sequence[str]) -> Float32:
        return embed_steadily(new, embed=load_embedder(EMBEDDER))

    merged = merge_vectors(phrases, known, vectors, embed=embed, width=embedder["dimensions"])
    store_vectors(EMBEDDINGS, phrases, merged, embedder["embedder_id"])


def distinct_phrases(data: Path) -> list[str]:
    """Return the distinct cleaned phrases of the snapshots below `data`, sorted by code point.

    Phrases that no classifier learns are left out. Raises `StageFailed` when no snapshot has any.
    """
    phrases: set[str] = set()
    for path in sorted(data.glob("*/rows.parquet")):
        column = read_rows(path, columns=["phrase"])["phrase"]
        phrases.update(pc.unique(column).drop_null().to_pylist())
    for path in sorted(data.glob(f"*/{UNLABELLED}")):
        phrases.update(read_rows(path, columns=["cleaned"])["cleaned"].to_pylist())
    if not phrases:
        raise StageFailed(
            "at least one phrase in data/*/rows.parquet", came="none", do="run `make data`"
        )
    return sorted({clean_learnable(phrase) for phrase in phrases} - {""})


def merge_vectors(
    phrases: Sequence[str], known: Sequence[str], vectors: Float32, *, embed: Embed, width: int
) -> Float32:
    """Return the vectors of `phrases`, reusing those of `known`: float32 (len(phrases), width).

    `embed` is called once, for the other phrases, and not at all when there are none. Row i of
    `vectors` belongs to `known[i]`. Raises `StageFailed` for a vector with NaN or infinity.
    """
    place_of = {phrase: place for place, phrase in enumerate(known)}
    places = np.array([place_of.get(phrase, -1) for phrase in phrases])
    new = [phrase for phrase, place in zip(phrases, places, strict=True) if place < 0]
    get_logger().info("embed", reused=len(phrases) - len(new), new=len(new))
    merged = np.empty((len(phrases), width), np.float32)
    if len(new) < len(phrases):
        merged[places >= 0] = vectors[places[places >= 0]]
    if new:
        merged[places < 0] = embed(new)
    require_finite(phrases, merged)
    return merged


def embed_steadily(phrases: Sequence[str], *, embed: Embed) -> Float32:
    """Embed so that a vector does not depend on its neighbours: an increment equals a fresh start.

    A matrix product takes the last rows of a batch through another kernel, which moves a vector by
    up to 2e-7. So every batch has the same size, and its last places hold a filler: equal phrases
    get equal bytes.
    """
    parts = []
    for start in range(0, len(phrases), STEADY_PHRASES):
        batch = list(phrases[start : start + STEADY_PHRASES])
        fillers = [FILLER] * (STEADY_BATCH - len(batch))
        parts.append(embed(batch + fillers)[: len(batch)])
    return np.concatenate(parts)
