"""Turns rows into numbers: embeds each distinct phrase once, for its features and its novelty."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from monitoring.drift.rule import Pool
from monitoring.windows.statistics import WindowSample, draw_projection, fourier_features
from pipelines.model.classifier import PhraseClassifier
from pipelines.model.embedder import Embed
from pipelines.model.head_file import Head
from pipelines.model.memory import Memory
from pipelines.model.novelty import novelty

ROW_COLUMNS = ("occurred_at", "region", "cleaned", "label", "confidence", "weight")


def read_reference(path: Path) -> pd.DataFrame:
    """Return the champion's reference rows as ROW_COLUMNS; none when there is no such file.

    Rows of weight 0 stand for no traffic and are left out.
    """
    if not path.is_file():
        return pd.DataFrame(columns=list(ROW_COLUMNS))
    rows = pd.read_parquet(path).rename(columns={"predicted": "label", "probability": "confidence"})
    # The UTC that rows of the log have: pandas knows several, and of two it makes no column of
    # moments.
    rows["occurred_at"] = pd.to_datetime(rows["occurred_at"], utc=True)
    return rows.loc[rows["weight"] > 0, list(ROW_COLUMNS)].reset_index(drop=True)


def log_rows(log: pd.DataFrame) -> pd.DataFrame:
    """Return rows of the log as ROW_COLUMNS and request_id. Each row has the weight 1."""
    return log.rename(columns={"probability": "confidence"}).assign(weight=1.0)[
        [*ROW_COLUMNS, "request_id"]
    ]


class WindowScorer:
    """Turns rows into a `WindowSample` of one head, embedding each distinct phrase once.

    Parameters
    ----------
    phrases : phrases of the pool; the median distance between them sets the width of the features
    memory : what stands beside the head when it answers for rows of another version
    """

    def __init__(
        self,
        head: Head,
        embed: Embed,
        *,
        phrases: Sequence[str],
        seed: int,
        memory: Memory | None = None,
    ) -> None:
        self.head = head
        self._classifier = PhraseClassifier(head, embed, memory=memory)
        self._embed = embed
        self._codes = {label: code for code, label in enumerate(head.labels)}
        self._position: dict[str, int] = {}  # phrase -> its row in _features and _novelty
        distinct = sorted(set(phrases))
        vectors = embed(distinct)
        self._projection = draw_projection(vectors, seed=seed) if len(distinct) else None
        self._features: np.ndarray = np.empty((0, 0), np.float32)
        self._novelty: np.ndarray = np.empty(0, np.float32)
        self._keep(distinct, vectors, seed)

    @property
    def labels(self) -> int:
        """Number of label codes: one per label, and one for labels that the head does not know."""
        return len(self._codes) + 1

    def sample(self, rows: pd.DataFrame) -> WindowSample:
        positions = self._positions(rows["cleaned"])
        label = rows["label"].map(self._codes).fillna(len(self._codes)).to_numpy(dtype=int)
        return WindowSample(
            label,
            rows["confidence"].to_numpy(dtype=float),
            self._novelty[positions],
            self._features[positions],
        )

    def completed(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Fill in what the head and its memory answer where another version did (null labels)."""
        missing = rows["label"].isna()
        if not missing.any():
            return rows
        distinct = sorted(set(rows.loc[missing, "cleaned"]))
        predictions = self._classifier.predict(distinct, top=1)
        answers = rows["cleaned"].map(dict(zip(distinct, predictions, strict=True)))
        label = rows["label"].copy()
        confidence = rows["confidence"].astype(float)
        label[missing] = [answer.label for answer in answers[missing]]
        confidence[missing] = [answer.probability for answer in answers[missing]]
        return rows.assign(label=label, confidence=confidence)

    def pool(self, rows: pd.DataFrame) -> Pool:
        """Return the pool of `rows`, which are in order of time."""
        day = pd.to_datetime(rows["occurred_at"], utc=True).dt.floor("D").astype("int64").to_numpy()
        return Pool(self.sample(rows), day, rows["weight"].to_numpy(dtype=float))

    def novelty(self, rows: pd.DataFrame) -> np.ndarray:
        """Return (n,) how far each phrase lies from every label: 1 minus the largest cosine."""
        positions = self._positions(rows["cleaned"])  # first: it makes room for new phrases
        return np.asarray(self._novelty[positions])

    def vectors(self, cleaned: Sequence[str]) -> np.ndarray:
        """Return (n, d): the unit embeddings of phrases."""
        return np.asarray(self._embed(cleaned))

    def _positions(self, cleaned: pd.Series) -> np.ndarray:
        new = sorted(set(cleaned) - self._position.keys())
        if new:
            self._keep(new, self._embed(new), 0)
        return np.asarray(cleaned.map(self._position), dtype=int)

    def _keep(self, phrases: Sequence[str], vectors: np.ndarray, seed: int) -> None:
        if not len(phrases):
            return
        if self._projection is None:
            self._projection = draw_projection(vectors, seed=seed)
        first = len(self._novelty)
        self._position |= {phrase: first + number for number, phrase in enumerate(phrases)}
        features = fourier_features(vectors, projection=self._projection)
        self._features = np.concatenate([self._features, features]) if first else features
        self._novelty = np.concatenate([self._novelty, novelty(self.head, vectors)])
