"""Stores and reads the embeddings of distinct phrases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.errors import StageFailed
from core.files import replacing, write_json
from pipelines.model.arrays import Float32
from pipelines.stages.files import EMBEDDINGS, read_json, read_rows, write_rows


def read_vectors(phrases: Sequence[str], folder: Path = EMBEDDINGS) -> Float32:
    """Return the vectors of `phrases`, in their order: float32 (len(phrases), d).

    Raises `StageFailed` when a phrase has not been embedded.
    """
    stored = read_rows(folder / "phrases.parquet")["cleaned"]
    places = pc.index_in(pa.array(phrases, pa.string()), value_set=stored.combine_chunks())
    if places.null_count:
        missing = phrases[places.to_pylist().index(None)]
        raise StageFailed(
            "an embedding of every phrase",
            came=f"none for {missing[:80]!r}, {places.null_count} in all",
            do="run `dvc repro embed`",
        )
    vectors: Float32 = _map_vectors(folder)[places.to_numpy(zero_copy_only=False)]
    require_finite(phrases, vectors)
    return vectors


def require_finite(phrases: Sequence[str], vectors: Float32) -> None:
    """Raise `StageFailed` naming a phrase whose vector, of `vectors` (n, d), has NaN or infinity.

    No head could be fitted on it, and an answer to it would be no label.
    """
    sound = np.isfinite(vectors).all(axis=1)
    if not sound.all():
        first = phrases[int(np.flatnonzero(~sound)[0])]
        raise StageFailed(
            "finite numbers from the embedder",
            came=f"NaN or infinity for {first[:80]!r}, {int((~sound).sum())} phrases in all",
            do="choose another embedder.handle, or leave such phrases out in the query",
        )


def stored_vectors(folder: Path, embedder_id: str) -> tuple[list[str], Float32]:
    """Return the phrases and vectors, (n, d), that an earlier run stored with the same embedder.

    Both are empty when there are none, or when another embedder made them.
    """
    facts = folder / "embedder.json"
    if not facts.exists() or read_json(facts)["embedder_id"] != embedder_id:
        return [], np.empty((0, 0), np.float32)
    phrases = read_rows(folder / "phrases.parquet")["cleaned"].to_pylist()
    return phrases, _map_vectors(folder)


def store_vectors(folder: Path, phrases: Sequence[str], vectors: Float32, embedder_id: str) -> None:
    """Store one vector per phrase, (n, d).

    `embedder.json` is removed first and written last, so that a half-written folder is not reused.
    """
    (folder / "embedder.json").unlink(missing_ok=True)
    write_rows(folder / "phrases.parquet", pa.table({"cleaned": pa.array(phrases, pa.string())}))
    with replacing(folder / "vectors.npy") as part, part.open("wb") as file:
        np.save(file, vectors)
    write_json(folder / "embedder.json", {"embedder_id": embedder_id})


def _map_vectors(folder: Path) -> Float32:
    vectors: Float32 = np.load(folder / "vectors.npy", mmap_mode="r")
    return vectors
