"""From rows to numbers: each distinct phrase is embedded once, and becomes Fourier features and a novelty."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from monitoring.drift import Pool
from monitoring.statistics import WindowSample, draw_projection, fourier_features
from pipelines.model.classifier import PhraseClassifier, novelty
from pipelines.model.embedder import Embed
from pipelines.model.head_file import Head

ROW_COLUMNS = ("occurred_at", "region", "cleaned", "label", "confidence", "weight")


def read_reference(path: Path) -> pd.DataFrame:
    """Return the champion's reference rows as ROW_COLUMNS; none when there is no such file. Rows of weight 0 stand for nothing."""
    if not path.is_file():
        return pd.DataFrame(columns=list(ROW_COLUMNS))
    rows = pd.read_parquet(path).rename(columns={"predicted": "label", "probability": "confidence"})
    return rows.loc[rows["weight"] > 0, list(ROW_COLUMNS)].reset_index(drop=True)


def log_rows(log: pd.DataFrame) -> pd.DataFrame:
    """Return rows of the log as ROW_COLUMNS and request_id: each stands for itself."""
    return log.rename(columns={"probability": "confidence"}).assign(weight=1.0)[
        [*ROW_COLUMNS, "request_id"]
    ]


class WindowScorer:
    """Turns rows into `WindowSample` of one head; `labels` is the number of label codes, the last for a label the head does not know."""

    def __init__(self, head: Head, embed: Embed, *, phrases: Sequence[str], seed: int) -> None:
        """`phrases` set the width of the features: those of the pool."""
        self.head, self._embed = head, embed
        self._codes = {label: code for code, label in enumerate(head.labels)}
        self._place: dict[str, int] = {}
        distinct = sorted(set(phrases))
        vectors = embed(distinct)
        self._projection = draw_projection(vectors, seed=seed) if len(distinct) else None
        self._features: np.ndarray = np.empty((0, 0), np.float32)
        self._novelty: np.ndarray = np.empty(0, np.float32)
        self._keep(distinct, vectors, seed)

    @property
    def labels(self) -> int:
        return len(self._codes) + 1

    def answers(self, rows: pd.DataFrame) -> WindowSample:
        place = self._places(rows["cleaned"])
        label = rows["label"].map(self._codes).fillna(len(self._codes)).to_numpy(dtype=int)
        return WindowSample(
            label,
            rows["confidence"].to_numpy(dtype=float),
            self._novelty[place],
            self._features[place],
        )

    def completed(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows of the log with the head's own answer where somebody else answered, and label and confidence are missing."""
        missing = rows["label"].isna()
        if not missing.any():
            return rows
        distinct = sorted(set(rows.loc[missing, "cleaned"]))
        said = PhraseClassifier(self.head, self._embed).predict_cleaned(
            distinct, self._embed(distinct), top=1
        )
        answers = rows["cleaned"].map(dict(zip(distinct, said, strict=True)))
        label, confidence = rows["label"].copy(), rows["confidence"].astype(float)
        label[missing] = [answer.label for answer in answers[missing]]
        confidence[missing] = [answer.probability for answer in answers[missing]]
        return rows.assign(label=label, confidence=confidence)

    def pool(self, rows: pd.DataFrame) -> Pool:
        """`rows` in order of time."""
        day = pd.to_datetime(rows["occurred_at"], utc=True).dt.floor("D").astype("int64").to_numpy()
        return Pool(self.answers(rows), day, rows["weight"].to_numpy(dtype=float))

    def novelty(self, rows: pd.DataFrame) -> np.ndarray:
        place = self._places(rows["cleaned"])
        return self._novelty[place]

    def _places(self, cleaned: pd.Series) -> np.ndarray:
        new = sorted(set(cleaned) - self._place.keys())
        if new:
            self._keep(new, self._embed(new), 0)
        return cleaned.map(self._place).to_numpy(dtype=int)

    def _keep(self, phrases: Sequence[str], vectors: np.ndarray, seed: int) -> None:
        if not len(phrases):
            return
        if self._projection is None:
            self._projection = draw_projection(vectors, seed=seed)
        self._place |= {
            phrase: len(self._novelty) + number for number, phrase in enumerate(phrases)
        }
        features = fourier_features(vectors, projection=self._projection)
        self._features = (
            np.concatenate([self._features, features]) if len(self._novelty) else features
        )
        self._novelty = np.concatenate([self._novelty, novelty(self.head, vectors)])
