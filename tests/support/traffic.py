"""Traffic of made-up words, an embedder of word vectors, a head, and rows of the log."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy.engine import Connection

from core.contracts import Deployment, ModelVersion
from core.deployments import append_deployment
from core.params.schema import ClassifierParams
from core.tables.loop import inference
from monitoring.windows.cutting import Window
from monitoring.windows.scoring import WindowScorer
from monitoring.windows.traffic import Traffic
from pipelines.model.head_file import Head, save_head

START = datetime(2026, 1, 1, tzinfo=UTC)
DIMENSIONS = 32
LABELS = tuple(f"label{number:02d}" for number in range(20))
RARE = LABELS[10:]
WINDOW = 500
WATCHED_BLOCK = ClassifierParams.model_validate(
    {
        "source": {"query": "queries/topics.sql", "label": "topic"},
        "drift": {"window_rows": WINDOW, "window_days": 30, "min_labelled_share": 0},
    }
)


@cache
def _word(word: str) -> np.ndarray:
    return np.random.default_rng(zlib.crc32(word.encode())).normal(size=DIMENSIONS)


def embed_words(cleaned: Sequence[str]) -> np.ndarray:
    """Unit mean of the words' own random vectors."""
    if not len(cleaned):
        return np.empty((0, DIMENSIONS), np.float32)
    sums = np.array(
        [np.sum([_word(word) for word in phrase.split()], axis=0) for phrase in cleaned]
    )
    return (sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float32)


def make_head() -> Head:
    """A head whose centroids are those of the labels' own words."""
    centroids = embed_words(
        [" ".join(f"{label}w{number}" for number in range(30)) for label in LABELS]
    ).astype(np.float16)
    prior = np.full(len(LABELS), -np.log(len(LABELS)), np.float32)
    return Head("majority", LABELS, "words-1", {"log_prior": prior, "centroids": centroids})


def make_answering_head() -> Head:
    """As `make_head`; it says the label whose centroid is nearest."""
    plain = make_head()
    arrays = {
        "weights": 12 * plain.centroids.T,
        "bias": np.zeros(len(LABELS), np.float32),
        "centroids": plain.arrays["centroids"],
    }
    return Head("logistic", LABELS, "words-1", arrays, {"temperature": 1.0})


def make_scorer(phrases: Sequence[str]) -> WindowScorer:
    return WindowScorer(make_head(), embed_words, phrases=phrases, seed=1)


def traffic(
    *,
    days: int,
    a_day: int = 60,
    seed: int,
    moved: float = 0.0,
    garbled: float = 0.0,
    start: datetime = START,
) -> pd.DataFrame:
    """Rows of monitoring.windows.scoring.ROW_COLUMNS and the phrase, in order of time.

    The mix of labels moves from day to day. The share `moved` of the rows goes to RARE labels; the
    share `garbled` of the phrases is made of words that no label has.
    """
    random = np.random.default_rng(seed)
    usual = 1 / np.arange(1, len(LABELS) + 1)
    parts = []
    for day in range(days):
        mix = usual * np.exp(random.normal(0, 0.15, len(LABELS)))
        count = random.poisson(a_day)
        at = pd.to_timedelta(np.sort(random.integers(0, 86_400_000, count)), unit="ms") + (
            start + timedelta(days=day)
        )
        label = np.where(
            random.random(count) < moved,
            random.choice(RARE, count),
            random.choice(LABELS, count, p=mix / mix.sum()),
        )
        strange = random.random(count) < garbled
        confidence = np.where(strange, random.beta(3, 3, count), random.beta(20, 2, count))
        region = [None if drawn < 0.1 else "north" for drawn in random.random(count)]
        cleaned = _phrases(np.where(strange, "odd", label), random)
        parts.append(
            {
                "occurred_at": at,
                "region": region,
                "cleaned": cleaned,
                "label": label,
                "confidence": confidence,
                "weight": 1.0,
            }
        )
    return pd.concat(map(pd.DataFrame, parts), ignore_index=True)


def _phrases(topics: np.ndarray, random: np.random.Generator) -> list[str]:
    words = random.zipf(1.3, (len(topics), 2)) % 30
    return [
        " ".join(sorted({f"{topic}w{number}" for number in row}))
        for topic, row in zip(topics, words.tolist(), strict=True)
    ]


def store_model(
    models: Path,
    *,
    classifier: str,
    version: str,
    reference: pd.DataFrame | None,
    head: Head | None = None,
) -> ModelVersion:
    """Write the head, and reference.parquet as the stage `evaluate` does."""
    folder = models / classifier / version
    digest = save_head(head or make_head(), folder)
    if reference is not None:
        named = reference.rename(columns={"label": "predicted", "confidence": "probability"})
        moments = named["occurred_at"].dt.as_unit("us")
        table = pa.Table.from_pandas(named.assign(occurred_at=moments), preserve_index=False)
        pq.write_table(table.replace_schema_metadata(None), folder / "reference.parquet")
    return ModelVersion(classifier, version, str(folder), digest, "words-1")


def promote(connection: Connection, model: ModelVersion, *, since: datetime = START) -> None:
    append_deployment(connection, Deployment(model, "champion", 1.0, since, "test"))


def log(
    connection: Connection,
    rows: pd.DataFrame,
    *,
    classifier: str,
    version: str,
    role: str = "champion",
    prefix: str = "r",
    key: str | None = None,
) -> list[str]:
    """Write rows to the inference log; return their request ids, in order."""
    ids = [f"{prefix}-{number:06d}" for number in range(len(rows))]
    common: dict[str, Any] = {
        "version": version,
        "classifier": classifier,
        "role": role,
        "alternatives": [],
        "embedder_id": "words-1",
    }
    common |= {"cached": False, "latency_ms": 1.0, "routing_key": key, "flags": []}
    values = [
        {
            **common,
            "request_id": request_id,
            "occurred_at": row.occurred_at,
            "phrase": row.cleaned.upper(),
            "cleaned": row.cleaned,
            "label": row.label,
            "probability": row.confidence,
            "region": row.region,
        }
        for request_id, row in zip(ids, rows.itertuples(), strict=True)
    ]
    if values:
        connection.execute(inference.insert(), values)
    return ids


def whole_traffic(connection: Connection, classifier: str, version: str) -> pd.DataFrame:
    """What the log holds, as one window."""
    everything = Window(1, first=1, last=10**9, answers=1, rows=1)
    return Traffic(connection, classifier, version).read_window(everything)
