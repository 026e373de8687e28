"""The world of the drift benchmark: real champions with their reference rows, and the traffic that meets them.

Made by production code: traffic by `Traffic`, reference rows by the stages split and evaluate, past windows by `Baseline`.
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
"""The rarest labels that together are at most this share of ordinary traffic are the rare ones."""
Change = Callable[[list[Arrival], np.random.Generator], list[str]]


@dataclass
class Vectors:
    """An `Embed` that knows the snapshot's phrases and calls the model once for every other."""

    known: dict[str, np.ndarray] = field(default_factory=dict)

    def __call__(self, cleaned: Sequence[str]) -> np.ndarray:
        new = [phrase for phrase in dict.fromkeys(cleaned) if phrase not in self.known]
        if new:
            self.known.update(zip(new, self._model(new), strict=True))
        return np.array([self.known[phrase] for phrase in cleaned], np.float32).reshape(
            len(cleaned), -1
        )

    @cached_property
    def _model(self) -> Embed:
        return load_embedder(EMBEDDER)


def snapshot_vectors() -> Vectors:
    """Those of build/embeddings."""
    phrases = read_rows(EMBEDDINGS / "phrases.parquet")["cleaned"].to_pylist()
    return Vectors(dict(zip(phrases, np.load(EMBEDDINGS / "vectors.npy"), strict=True)))


@dataclass
class Champion:
    """A head and its reference rows (ROW_COLUMNS), with what watching it needs; answers are kept by phrase."""

    head: Head
    reference: pd.DataFrame
    vectors: Vectors
    _answers: dict[str, tuple[str, float]] = field(default_factory=dict)

    @cached_property
    def meter(self) -> WindowScorer:
        return WindowScorer(self.head, self.vectors, phrases=self.reference["cleaned"], seed=7)

    def normal(self) -> Baseline:
        return Baseline(self.reference, self.meter, seed=7)

    def answer(self, cleaned: Sequence[str]) -> tuple[list[str], list[float]]:
        """Label and probability of each phrase, as served."""
        new = [phrase for phrase in dict.fromkeys(cleaned) if phrase not in self._answers]
        for start in range(0, len(new), 4096):
            part = new[start : start + 4096]
            said = PhraseClassifier(self.head, self.vectors).predict(part, top=1)
            self._answers |= {
                phrase: (one.label, one.probability) for phrase, one in zip(part, said, strict=True)
            }
        labels, probabilities = zip(*(self._answers[phrase] for phrase in cleaned), strict=True)
        return list(labels), list(probabilities)

    def log(self, arrivals: Sequence[Arrival], phrases: Sequence[str]) -> pd.DataFrame:
        """The rows that `watch` reads from the log, when these phrases came at the moments of the arrivals."""
        cleaned = [clean_phrase(phrase) for phrase in phrases]
        labels, probabilities = self.answer(cleaned)
        at, regions = [one.occurred_at for one in arrivals], [one.region for one in arrivals]
        return log_rows(
            pd.DataFrame(
                {
                    "occurred_at": at,
                    "region": regions,
                    "cleaned": cleaned,
                    "label": labels,
                    "probability": probabilities,
                }
            )
        )


def stored_champion(vectors: Vectors) -> Champion:
    """The head and the reference rows that `dvc repro` left for the demo's snapshot."""
    folder = classifier_folder(KEY)
    return Champion(
        load_head(folder / "model"),
        read_reference(folder / "evaluation" / "reference.parquet"),
        vectors,
    )


def with_other_history(champion: Champion, *, seed: int, scale: Scale = "default") -> Champion:
    """The same head after another course of its newest days: another draw of what a reference can be."""
    stored = _stored_rows()
    newest = pc.max(stored["occurred_at"]).as_py() - timedelta(days=_spec()["test_days"])
    rows_enough = 30_000 if scale == "default" else 150_000
    played = [
        one for one in Traffic(scale, seed).play(newest, rows_enough) if one.occurred_at < EPOCH
    ]
    rows: dict[str, list[Any]] = {
        "id": [f"x{number}" for number in range(len(played))],
        "phrase": [one.phrase for one in played],
    }
    rows |= {
        "occurred_at": [one.occurred_at for one in played],
        "region": [one.region for one in played],
    }
    rows |= {KEY: [one.labels[KEY] for one in played], "origin": ["source"] * len(played)}
    other = pa.table(rows).cast(stored.schema)
    parts = _split(pa.concat_tables([stored.filter(pc.less(stored["occurred_at"], newest)), other]))
    return Champion(
        champion.head, _reference(champion, parts[1]), champion.vectors, champion._answers
    )


def untaught_champion(vectors: Vectors, *, head: dict[str, Any] | None = None) -> Champion:
    """A champion trained on the snapshot without the chapters of UNSEEN; `head` as in params.yaml, by default the classifier's own."""
    stored = _stored_rows(columns=["chapter"])
    known = stored.filter(pc.invert(pc.is_in(stored["chapter"], pa.array(UNSEEN)))).drop_columns(
        "chapter"
    )
    train, recent = _split(known)
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
    """As the stage does: training rows, and recent rows with those of rare labels."""
    spec = _spec()
    history = within_history(labelled_rows(stored, label=KEY), days=spec["history_days"])
    rows, left_out = leave_out_rare(history, min_rows=spec["min_rows_per_label"])
    parts = split.split_rows(rows, test_days=spec["test_days"], seed=spec["seed"])
    recent = split.with_left_out(split.recent_table(rows, parts), history, left_out=left_out)
    return split.training_table(rows.only(~parts.test), seed=spec["seed"]), recent


def _training_rows(train: pa.Table, vectors: Vectors) -> TrainingRows:
    cleaned = train["cleaned"].to_pylist()
    return TrainingRows(
        np.array(cleaned, dtype=object), np.array(train["label"].to_pylist(), dtype=str), train["rows"].to_numpy().astype(float),
        vectors(cleaned), train["validation"].to_numpy(zero_copy_only=False),
    )  # fmt: skip


def _reference(champion: Champion, recent: pa.Table) -> pd.DataFrame:
    labels, probabilities = champion.answer(recent["cleaned"].to_pylist())
    answered = recent.append_column("predicted", pa.array(labels)).append_column(
        "probability", pa.array(probabilities)
    )
    rows = reference_table(answered, test_share=split.TEST_SHARE).to_pandas()
    return rows.rename(columns={"predicted": "label", "probability": "confidence"})


@dataclass(frozen=True)
class Stranger:
    """What may take the place of ordinary phrases: those of rare labels, and those of the UNSEEN chapters, by chapter."""

    everyday: list[str]
    rare: list[str]
    unseen: dict[str, list[str]]
    rare_labels: int


def draw_strangers(*, seed: int, rows: int) -> Stranger:
    """Sort `rows` ordinary arrivals of other days: so the strangers are written as the desks write."""
    played = list(Traffic("default", seed).play(EPOCH + timedelta(days=400), rows))
    shares = (
        pd.Series([one.labels[KEY] for one in played])
        .value_counts(normalize=True, ascending=True)
        .cumsum()
    )
    rare = set(shares.index[shares <= RARE_SHARE])
    return Stranger(
        [one.phrase for one in played],
        [one.phrase for one in played if one.labels[KEY] in rare],
        {
            chapter: [one.phrase for one in played if one.labels["chapter"] == chapter]
            for chapter in UNSEEN
        },
        len(rare),
    )


def play(*, seed: int, rows: int, scale: Scale = "default") -> list[Arrival]:
    """Arrivals after the snapshot, from a day that the seed tells (0 to 59 days on)."""
    return list(Traffic(scale, seed).play(EPOCH + timedelta(days=seed % 60), rows))


def unchanged(arrivals: list[Arrival], random: np.random.Generator) -> list[str]:
    """What came."""
    return [one.phrase for one in arrivals]


def replaced(phrases: Sequence[str], *, share: float) -> Change:
    """A `share` of the rows brings one of these phrases instead."""

    def change(arrivals: list[Arrival], random: np.random.Generator) -> list[str]:
        moved, other = (
            random.random(len(arrivals)) < share,
            random.integers(len(phrases), size=len(arrivals)),
        )
        return [
            phrases[number] if new else one.phrase
            for one, new, number in zip(arrivals, moved, other, strict=True)
        ]

    return change


def abbreviated(*, share: float) -> Change:
    """A `share` of the rows is typed with all the abbreviations of the desks in a hurry (`noise.HEAVY`)."""

    def change(arrivals: list[Arrival], random: np.random.Generator) -> list[str]:
        short = random.random(len(arrivals)) < share
        return [
            _hurried(one.phrase) if new else one.phrase
            for one, new in zip(arrivals, short, strict=True)
        ]

    return change


@lru_cache(maxsize=100_000)
def _hurried(phrase: str) -> str:
    return abbreviate(phrase, HEAVY)


def unseen_topic(strangers: Stranger, *, share: float) -> Change:
    """A `share` of the rows comes from one chapter of UNSEEN, which one is drawn."""

    def change(arrivals: list[Arrival], random: np.random.Generator) -> list[str]:
        chapter = UNSEEN[random.integers(len(UNSEEN))]
        return replaced(strangers.unseen[chapter], share=share)(arrivals, random)

    return change
