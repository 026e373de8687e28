"""The embeddings of distinct phrases as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.errors import StageFailed
from core.files import replacing, write_json
from pipelines.stages.files import EMBEDDINGS, read_json, read_rows, write_rows


def read_vectors(phrases: Sequence[str], folder: Path = EMBEDDINGS) -> np.ndarray:
    """float32 (len(phrases), d), in the order of `phrases`, which must all have been embedded."""
    stored = read_rows(folder / "phrases.parquet")["cleaned"]
    places = pc.index_in(pa.array(phrases, pa.string()), value_set=stored.combine_chunks())
    if places.null_count:
        lost = next(
            phrase
            for phrase, place in zip(phrases, places.to_pylist(), strict=True)
            if place is None
        )
        raise StageFailed(
            "an embedding of every phrase",
            came=f"none for {lost[:80]!r}, {places.null_count} in all",
            do="run `dvc repro embed`",
        )
    return np.load(folder / "vectors.npy", mmap_mode="r")[places.to_numpy(zero_copy_only=False)]


def _stored(folder: Path, embedder_id: str) -> tuple[list[str], np.ndarray]:
    """What an earlier run left, when it was the same embedder."""
    if (
        not (folder / "embedder.json").exists()
        or read_json(folder / "embedder.json")["embedder_id"] != embedder_id
    ):
        return [], np.empty((0, 0), np.float32)
    return read_rows(folder / "phrases.parquet")["cleaned"].to_pylist(), np.load(
        folder / "vectors.npy", mmap_mode="r"
    )


def _store(folder: Path, phrases: Sequence[str], vectors: np.ndarray, embedder_id: str) -> None:
    """`embedder.json` goes first and comes back last: without it a half-written folder is not reused."""
    (folder / "embedder.json").unlink(missing_ok=True)
    write_rows(folder / "phrases.parquet", pa.table({"cleaned": pa.array(phrases, pa.string())}))
    with replacing(folder / "vectors.npy") as part, part.open("wb") as file:
        np.save(file, vectors)
    write_json(folder / "embedder.json", {"embedder_id": embedder_id})
