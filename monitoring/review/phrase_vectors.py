"""Vectors of distinct phrases as files, and the search for the nearest ones.

All classifiers with one embedder share them. A search multiplies the SHORT leading directions of
all phrases with those of one, then all directions of the nearest SHORTLIST: of 200,000 phrases it
reads 100 MB instead of 400.
"""

from __future__ import annotations

import shutil
import uuid
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.contracts import is_plain_name
from core.files import appearing_whole, replacing
from pipelines.model.arrays import Float32, Int64
from pipelines.model.embedder import Embed

MOST = 200_000
NEW_AT_ONCE = 50_000
"""Phrases that one update embeds, in some 10 s; an hour later come the next."""
SHORT = 128
SHORTLIST = 1000
FITTED_ON = 20_000
BLOCK = 8192
NEWEST = "newest"
TRIES = 3
"""An update may remove the files between the reading of their name and of themselves."""


@dataclass(frozen=True, eq=False)
class PhraseVectors:
    """Distinct phrases in order, and their unit vectors; the arrays are mapped, not read.

    `whole` is float16 (n, d), `basis` float32 (d, r), `short` float32 (n, r) = whole @ basis.
    """

    phrases: pa.StringArray
    whole: np.ndarray
    short: Float32
    basis: Float32

    def place(self, cleaned: str) -> int | None:
        """Where a phrase stands; None when it has no vector."""
        place = bisect_left(_Texts(self.phrases), cleaned)
        is_there = place < len(self.phrases) and self.phrases[place].as_py() == cleaned
        return place if is_there else None

    def places(self, phrases: Sequence[str]) -> Int64:
        """Where the phrases stand, int64 (n,); -1 for one without a vector."""
        places = pa.compute.index_in(pa.array(phrases, pa.string()), value_set=self.phrases)
        return np.asarray(places.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)

    def nearest(self, vector: Float32, among: np.ndarray, *, limit: int) -> tuple[Int64, Float32]:
        """Return the places of the nearest phrases and their cosines, the nearest first.

        `among`, bool (n,), marks the phrases that may be returned; `vector` has unit length.
        """
        rough = np.where(among, _products(self.short, vector @ self.basis), -np.inf)
        kept = min(max(SHORTLIST, limit), int(among.sum()))
        if not kept:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        listed = np.sort(np.argpartition(-rough, kept - 1)[:kept])
        cosines = _products(np.asarray(self.whole[listed], np.float32), vector)
        best = np.argsort(-cosines, kind="stable")[:limit]
        return listed[best], cosines[best]


def _products(rows: Float32, vector: Float32) -> Float32:
    """Return rows @ vector on one thread: BLAS would wait for a second one, longer than it works
    where other programs hold the processor.
    """
    products: Float32 = np.einsum("ij,j->i", rows, vector)
    return products


class _Texts(Sequence[str]):
    """The phrases as Python strings, one at a time."""

    def __init__(self, phrases: pa.StringArray) -> None:
        self._phrases = phrases

    def __len__(self) -> int:
        return len(self._phrases)

    def __getitem__(self, place: int) -> str:  # type: ignore[override]
        return str(self._phrases[place].as_py())


def vectors_folder(home: Path, embedder_id: str) -> Path:
    """Return where the vectors of an embedder lie."""
    if not is_plain_name(embedder_id):
        raise ValueError(f"not the name of a folder: {embedder_id!r}")
    return home / "phrases" / embedder_id


def open_vectors(folder: Path) -> PhraseVectors | None:
    """Return the newest vectors of a folder; None before the first update."""
    for _ in range(TRIES):
        try:
            return _mapped(folder / (folder / NEWEST).read_text())
        except FileNotFoundError:
            continue
    return None


@lru_cache(maxsize=4)
def _mapped(generation: Path) -> PhraseVectors:
    phrases = pq.read_table(generation / "phrases.parquet")["cleaned"].combine_chunks()
    whole, short, basis = (
        np.load(generation / f"{name}.npy", mmap_mode="r") for name in ("whole", "short", "basis")
    )
    return PhraseVectors(phrases, whole, np.asarray(short), np.asarray(basis))


def update_vectors(folder: Path, wanted: Sequence[str], embed: Embed) -> int:
    """Keep the vectors of `wanted`, the most important first; return how many are new.

    At most MOST are kept, and NEW_AT_ONCE embedded. Others are dropped.
    """
    stored = open_vectors(folder)
    chosen = list(dict.fromkeys(wanted))[:MOST]
    places = np.full(len(chosen), -1) if stored is None else stored.places(chosen)
    missing = np.flatnonzero(places < 0)
    new = missing[:NEW_AT_ONCE]
    if not len(new):
        return 0

    fresh = _unit(embed([chosen[place] for place in new])).astype(np.float16)
    whole = np.empty((len(chosen), fresh.shape[1]), np.float16)
    whole[new] = fresh
    if stored is not None:
        whole[places >= 0] = stored.whole[places[places >= 0]]

    kept = np.setdiff1d(np.arange(len(chosen)), missing[NEW_AT_ONCE:])
    order = np.array(sorted(kept, key=lambda place: chosen[place]))
    _store(folder, [chosen[place] for place in order], whole[order])
    return len(new)


def _store(folder: Path, phrases: Sequence[str], whole: np.ndarray) -> None:
    """Write a generation beside the one that is read, then name it; older ones are removed."""
    basis = _leading(whole)
    folder.mkdir(parents=True, exist_ok=True)
    name = uuid.uuid4().hex
    with appearing_whole(folder / name) as part:
        part.mkdir()
        pq.write_table(
            pa.table({"cleaned": pa.array(phrases, pa.string())}), part / "phrases.parquet"
        )
        np.save(part / "whole.npy", whole)
        np.save(part / "basis.npy", basis)
        np.save(part / "short.npy", _shortened(whole, basis))
    with replacing(folder / NEWEST) as part:
        part.write_text(name)
    for older in folder.iterdir():
        if older.is_dir() and older.name != name:
            shutil.rmtree(older, ignore_errors=True)  # who has mapped it keeps it


def _leading(whole: np.ndarray) -> Float32:
    """Return the SHORT directions that hold most of the vectors' length, float32 (d, r)."""
    step = max(len(whole) // FITTED_ON, 1)
    sample = np.asarray(whole[::step], np.float32)
    _, directions = np.linalg.eigh(sample.T @ sample)
    return np.ascontiguousarray(directions[:, ::-1][:, :SHORT], np.float32)


def _shortened(whole: np.ndarray, basis: Float32) -> Float32:
    short = np.empty((len(whole), basis.shape[1]), np.float32)
    for start in range(0, len(whole), BLOCK):
        block = slice(start, start + BLOCK)
        short[block] = np.asarray(whole[block], np.float32) @ basis
    return short


def _unit(vectors: Float32) -> Float32:
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    unit: Float32 = vectors / lengths
    return unit
