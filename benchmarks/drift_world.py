"""The world of the drift benchmark: real champions with their reference rows, and their traffic.

Production code makes all of it: `Traffic` the traffic, the stages split and evaluate the reference
rows, `Baseline` the past windows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter

from core.head_params import Head as HeadParams
from monitoring.baseline import Baseline
from monitoring.scoring import WindowScorer, log_rows, read_reference
from pipelines.model.classifier import PhraseClassifier
from pipelines.model.embedder import Embed, load_embedder
from pipelines.model.head_file import Head, load_head
from pipelines.model.heads import TrainingRows, fit_head
from pipelines.model.text import clean_phrase
from pipelines.source.noise import HEAVY, abbreviate
from pipelines.source.practice import EPOCH, Scale
from pipelines.source.traffic import Arrival, Traffic
from pipelines.stages import split
from pipelines.stages.evaluate import reference_table
from pipelines.stages.files import (
    DATA,
    EMBEDDER,
    EMBEDDINGS,
    SPEC,
    classifier_folder,
    read_json,
    read_rows,
)
from pipelines.stages.labelled_rows import labelled_rows, leave_out_rare, within_history

KEY = "block"
UNSEEN = ("eye", "pregnancy", "mental")
"""Chapters that one of the champions was never taught."""
RARE_SHARE = 0.05
"""The rare labels are the rarest ones that together make up at most this share of the traffic."""
Change = Callable[[list[Arrival], np.random.Generator], list[str]]


@dataclass
class Vectors:
    """An `Embed` that knows the snapshot's phrases and computes every other phrase once."""

    known: dict[str, np.ndarray] = field(default_factory=dict)

    def __call__(self, cleaned: Sequence[str]) -> np.ndarray:
        new = [phrase for phrase in dict.fromkeys(cleaned) if phrase not in self.known]
        if new:
            self.known.update(zip(new, self._model(new), strict=True))
        vectors = np.array([self.known[phrase] for phrase in cleaned], np.float32)
        return vectors.reshape(len(cleaned), -1)

    @cached_property
    def _model(self) -> Embed:
        return load_embedder(EMBEDDER)


def snapshot_vectors() -> Vectors:
    """The vectors of build/embeddings."""
    phrases = read_rows(EMBEDDINGS / "phrases.parquet")["cleaned"].to_pylist()
    return Vectors(dict(zip(phrases, np.load(EMBEDDINGS / "vectors.npy"), strict=True)))


@dataclass
class Champion:
    """A head and its reference rows (ROW_COLUMNS), with what watching it needs.

    Answers are cached by phrase.
    """

    head: Head
    reference: pd.DataFrame
    vectors: Vectors
    _answers: dict[str, tuple[str, float]] = field(default_factory=dict)

    @cached_property
    def scorer(self) -> WindowScorer:
        return WindowScorer(self.head, self.vectors, phrases=self.reference["cleaned"], seed=7)

    def baseline(self) -> Baseline:
        return Baseline(self.reference, self.scorer, seed=7)

    def answer(self, cleaned: Sequence[str]) -> tuple[list[str], list[float]]:
        """Label and probability of each phrase, as served."""
        new = [phrase for phrase in dict.fromkeys(cleaned) if phrase not in self._answers]
        for start in range(0, len(new), 4096):
            part = new[start : start + 4096]
            predictions = PhraseClassifier(self.head, self.vectors).predict(part, top=1)
            for phrase, prediction in zip(part, predictions, strict=True):
                self._answers[phrase] = (prediction.label, prediction.probability)
        labels, probabilities = zip(*(self._answers[phrase] for phrase in cleaned), strict=True)
        return list(labels), list(probabilities)

    def log(self, arrivals: Sequence[Arrival], phrases: Sequence[str]) -> pd.DataFrame:
        """The rows that `watch` would read from the log, with the times of the arrivals."""
        cleaned = [clean_phrase(phrase) for phrase in phrases]
        labels, probabilities = self.answer(cleaned)
        return log_rows(
            pd.DataFrame(
                {
                    "request_id": [f"{number:08d}" for number in range(len(cleaned))],
                    "occurred_at": [row.occurred_at for row in arrivals],
                    "region": [row.region for row in arrivals],
                    "cleaned": cleaned,
                    "label": labels,
                    "probability": probabilities,
                }
            )
        )


def stored_champion(vectors: Vectors) -> Champion:
    """The head and the reference rows that `dvc repro` made from the demo's snapshot."""
    folder = classifier_folder(KEY)
    return Champion(
        load_head(folder / "model"),
        read_reference(folder / "evaluation" / "reference.parquet"),
        vectors,
    )


def with_other_history(champion: Champion, *, seed: int, scale: Scale = "default") -> Champion:
    """The same head after another history of its newest days: another draw of the reference."""
    stored = _stored_rows()
    newest = pc.max(stored["occurred_at"]).as_py() - timedelta(days=_spec()["test_days"])
    rows = 30_000 if scale == "default" else 150_000  # enough to reach EPOCH
    played = [row for row in Traffic(scale, seed).play(newest, rows) if row.occurred_at < EPOCH]
    columns: dict[str, list[Any]] = {
        "id": [f"x{number}" for number in range(len(played))],
        "phrase": [row.phrase for row in played],
        "occurred_at": [row.occurred_at for row in played],
        "region": [row.region for row in played],
        KEY: [row.labels[KEY] for row in played],
        "origin": ["source"] * len(played),
    }
    older = stored.filter(pc.less(stored["occurred_at"], newest))
    other = pa.table(columns).cast(stored.schema)
    _, recent = _split(pa.concat_tables([older, other]))
    reference = _reference(champion, recent)
    return Champion(champion.head, reference, champion.vectors, champion._answers)


def untaught_champion(vectors: Vectors, *, head: dict[str, Any] | None = None) -> Champion:
    """A champion trained on the snapshot without the chapters of UNSEEN.

    `head` is a head of params.yaml, by default the classifier's own.
    """
    stored = _stored_rows(columns=["chapter"])
    taught = stored.filter(pc.invert(pc.is_in(stored["chapter"], pa.array(UNSEEN))))
    train, recent = _split(taught.drop_columns("chapter"))
    params: HeadParams = TypeAdapter(HeadParams).validate_python(head or _head_spec())
    champion = Champion(
        fit_head(params, training=_training_rows(train, vectors), embedder_id="use", seed=7),
        pd.DataFrame(),
        vectors,
    )
    champion.reference = _reference(champion, recent)
    return champion


def _spec() -> dict[str, Any]:
    return dict(read_json(SPEC / KEY / "split.json"))


def _head_spec() -> dict[str, Any]:
    return {
        name: value for name, value in read_json(SPEC / KEY / "head.json").items() if name != "seed"
    }


def _stored_rows(*, columns: Sequence[str] = ()) -> pa.Table:
    return read_rows(
        DATA / _spec()["dataset"] / "rows.parquet",
        columns=["id", "phrase", "occurred_at", "region", KEY, "origin", *columns],
    )


def _split(stored: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Split as the stage does: training rows, and recent rows with those of rare labels."""
    spec = _spec()
    history = within_history(labelled_rows(stored, label=KEY), days=spec["history_days"])
    rows, left_out = leave_out_rare(history, min_rows=spec["min_rows_per_label"])
    parts = split.split_rows(rows, test_days=spec["test_days"], seed=spec["seed"])
    recent = split.with_left_out(split.recent_table(rows, parts), history, left_out=left_out)
    return split.training_table(rows.only(~parts.test), seed=spec["seed"]), recent


def _training_rows(train: pa.Table, vectors: Vectors) -> TrainingRows:
    cleaned = train["cleaned"].to_pylist()
    return TrainingRows(
        cleaned=np.array(cleaned, dtype=object),
        labels=np.array(train["label"].to_pylist(), dtype=str),
        weights=train["rows"].to_numpy().astype(float),
        vectors=vectors(cleaned),
        validation=train["validation"].to_numpy(zero_copy_only=False),
    )


def _reference(champion: Champion, recent: pa.Table) -> pd.DataFrame:
    labels, probabilities = champion.answer(recent["cleaned"].to_pylist())
    answered = recent.append_column("predicted", pa.array(labels)).append_column(
        "probability", pa.array(probabilities)
    )
    rows = reference_table(answered, test_share=split.TEST_SHARE).to_pandas()
    return rows.rename(columns={"predicted": "label", "probability": "confidence"})


@dataclass(frozen=True)
class Replacements:
    """Phrases that replace ordinary ones: any, those of rare labels, those of UNSEEN chapters."""

    everyday: list[str]
    rare: list[str]
    unseen: dict[str, list[str]]
    rare_labels: int


def draw_replacements(*, seed: int, rows: int) -> Replacements:
    """Sort `rows` ordinary arrivals of other days, written as the desks write them."""
    played = list(Traffic("default", seed).play(EPOCH + timedelta(days=400), rows))
    labels = pd.Series([row.labels[KEY] for row in played])
    shares = labels.value_counts(normalize=True, ascending=True).cumsum()
    rare = set(shares.index[shares <= RARE_SHARE])
    return Replacements(
        [row.phrase for row in played],
        [row.phrase for row in played if row.labels[KEY] in rare],
        {
            chapter: [row.phrase for row in played if row.labels["chapter"] == chapter]
            for chapter in UNSEEN
        },
        len(rare),
    )


def play(*, seed: int, rows: int, scale: Scale = "default") -> list[Arrival]:
    """Arrivals after the snapshot, from a day given by the seed (0 to 59 days later)."""
    return list(Traffic(scale, seed).play(EPOCH + timedelta(days=seed % 60), rows))


def unchanged(arrivals: list[Arrival], random: np.random.Generator) -> list[str]:
    """The phrases as they arrived."""
    return [row.phrase for row in arrivals]


def replaced(phrases: Sequence[str], *, share: float) -> Change:
    """Replace a `share` of the rows by these phrases."""

    def change(arrivals: list[Arrival], random: np.random.Generator) -> list[str]:
        moved = random.random(len(arrivals)) < share
        other = random.integers(len(phrases), size=len(arrivals))
        return [
            phrases[number] if new else row.phrase
            for row, new, number in zip(arrivals, moved, other, strict=True)
        ]

    return change


def abbreviated(*, share: float) -> Change:
    """Abbreviate a `share` of the rows as the desks in a hurry do (`noise.HEAVY`)."""

    def change(arrivals: list[Arrival], random: np.random.Generator) -> list[str]:
        short = random.random(len(arrivals)) < share
        return [
            _hurried(row.phrase) if new else row.phrase
            for row, new in zip(arrivals, short, strict=True)
        ]

    return change


@lru_cache(maxsize=100_000)
def _hurried(phrase: str) -> str:
    return abbreviate(phrase, HEAVY)


def unseen_topic(replacements: Replacements, *, share: float) -> Change:
    """Replace a `share` of the rows by phrases of one random chapter of UNSEEN."""

    def change(arrivals: list[Arrival], random: np.random.Generator) -> list[str]:
        chapter = UNSEEN[random.integers(len(UNSEEN))]
        return replaced(replacements.unseen[chapter], share=share)(arrivals, random)

    return change
