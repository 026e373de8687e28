"""The nearest phrases of a phrase, with their labels and how often each is asked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from core.contracts import ModelVersion
from core.files import replacing
from monitoring.review.phrase_vectors import PhraseVectors, open_vectors, vectors_folder

NEAREST = 8
FACT_COLUMNS = ("cleaned", "label", "labelled", "asked")


@dataclass(frozen=True)
class Neighbour:
    """A phrase near another.

    `similarity` is the cosine of both embeddings. `label` is what source or people said of the
    phrase where `labelled`, else what was answered last. `asks` is how often clients asked it in
    the last week, about.
    """

    cleaned: str
    similarity: float
    label: str
    labelled: bool
    asks: int


@dataclass(frozen=True, eq=False)
class _Facts:
    """What is known of the phrases of a classifier, by their places among the vectors."""

    facts: pd.DataFrame
    row_of: np.ndarray  # int (n,), the row of each place; -1 for phrases of other classifiers


def phrase_neighbours(home: Path, model: ModelVersion, cleaned: str) -> list[Neighbour]:
    """Return the NEAREST other phrases of the classifier, the nearest first.

    `home` is that of the settings. The embedder of `model`, the champion, decides what is near. A
    phrase whose vector is not stored yet has no neighbours.

    The first call after an update reads the phrases, which takes a second for 200,000.
    """
    vectors = open_vectors(vectors_folder(home, model.embedder_id))
    facts = None if vectors is None else _facts(home, model, vectors)
    if vectors is None or facts is None:
        return []

    own = vectors.place(cleaned)
    if own is None:
        return []

    among = facts.row_of >= 0
    among[own] = False
    vector = np.asarray(vectors.whole[own], np.float32)
    places, cosines = vectors.nearest(vector, among, limit=NEAREST)
    rows = facts.facts.iloc[facts.row_of[places]]
    return [
        Neighbour(
            row.cleaned, round(float(cosine), 4), row.label, bool(row.labelled), int(row.asked)
        )
        for row, cosine in zip(rows.itertuples(), cosines, strict=True)
    ]


def store_facts(home: Path, model: ModelVersion, facts: pd.DataFrame) -> None:
    """Keep what is known of the phrases of a classifier, as FACT_COLUMNS."""
    file = _facts_file(home, model)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as part:
        facts[list(FACT_COLUMNS)].to_parquet(part, index=False)


def _facts_file(home: Path, model: ModelVersion) -> Path:
    return vectors_folder(home, model.embedder_id) / f"{model.classifier}.parquet"


def _facts(home: Path, model: ModelVersion, vectors: PhraseVectors) -> _Facts | None:
    file = _facts_file(home, model)
    try:
        changed = file.stat().st_mtime_ns
    except FileNotFoundError:
        return None
    return _read_facts(file, changed, vectors)


@lru_cache(maxsize=32)  # `changed` is part of the key: a file that was written again is read again
def _read_facts(file: Path, changed: int, vectors: PhraseVectors) -> _Facts:
    facts = pq.read_table(file).to_pandas()
    places = vectors.places(facts["cleaned"].tolist())
    row_of = np.full(len(vectors.phrases), -1, np.int64)
    there = places >= 0
    row_of[places[there]] = np.flatnonzero(there)
    return _Facts(facts, row_of)
