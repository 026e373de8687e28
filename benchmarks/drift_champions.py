"""The champions of the drift benchmark: served heads with memories, and their reference rows.

Production code makes all of it: the stages split, train and evaluate the heads and the reference
rows, `labels_memory` the memories, `Baseline` the past windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter

from core.params.heads import Head as HeadParams
from monitoring.windows.baseline import Baseline
from monitoring.windows.scoring import WindowScorer, log_rows, read_reference
from pipelines.model.classifier import PhraseClassifier
from pipelines.model.embedder import Embed, load_embedder
from pipelines.model.head_file import Head, judged_folder, load_head
from pipelines.model.heads import Heads, fit_heads
from pipelines.model.memory import Memory
from pipelines.model.text import clean_phrase
from pipelines.source.practice import EPOCH, Scale
from pipelines.source.traffic import Arrival, SimulatedTraffic
from pipelines.stages import split
from pipelines.stages.evaluate import answer_known, reference_table
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
from pipelines.stages.memories import labels_memory, training_memory
from pipelines.stages.train import rows_of

KEY = "block"
UNSEEN = ("eye", "pregnancy", "mental")
"""Chapters that one of the champions was never taught."""


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
class WatchedChampion:
    """Two heads, a memory and reference rows (ROW_COLUMNS), with what watching them needs.

    The served head and the memory answer. Answers are cached by phrase.
    """

    heads: Heads
    memory: Memory
    reference: pd.DataFrame
    vectors: Vectors
    _answers: dict[str, tuple[str, float]] = field(default_factory=dict)

    @cached_property
    def scorer(self) -> WindowScorer:
        phrases = self.reference["cleaned"]
        return WindowScorer(self.heads.served, self.vectors, phrases=phrases, seed=7)

    def baseline(self) -> Baseline:
        return Baseline(self.reference, self.scorer, seed=7)

    def answer(self, cleaned: Sequence[str]) -> tuple[list[str], list[float]]:
        """Label and probability of each phrase, as served."""
        new = [phrase for phrase in dict.fromkeys(cleaned) if phrase not in self._answers]
        served = answers_of(self.heads.served, self.memory, new, self.vectors)
        self._answers.update(zip(new, served, strict=True))
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


def answers_of(
    head: Head, memory: Memory, cleaned: Sequence[str], vectors: Vectors
) -> list[tuple[str, float]]:
    """Return label and probability of each phrase, by the head beside the memory."""
    classifier = PhraseClassifier(head, vectors, memory=memory)
    return [
        (prediction.label, prediction.probability)
        for start in range(0, len(cleaned), 4096)
        for prediction in classifier.predict(cleaned[start : start + 4096], top=1)
    ]


def stored_champion(vectors: Vectors) -> WatchedChampion:
    """The heads and the reference rows that `dvc repro` made from the demo's snapshot."""
    folder = classifier_folder(KEY)
    model = folder / "model"
    labels = read_rows(folder / "split" / "labels.parquet")
    return WatchedChampion(
        Heads(judged=load_head(judged_folder(model)), served=load_head(model)),
        labels_memory(labels, classifier=KEY),
        read_reference(folder / "evaluation" / "reference.parquet"),
        vectors,
    )


def with_other_history(
    champion: WatchedChampion, *, seed: int, scale: Scale = "default"
) -> WatchedChampion:
    """The same heads after another history of its newest days: another memory and reference."""
    stored = _stored_rows()
    newest = pc.max(stored["occurred_at"]).as_py() - timedelta(days=_spec()["test_days"])
    rows = 30_000 if scale == "default" else 150_000  # enough to reach EPOCH
    played = [
        row for row in SimulatedTraffic(scale, seed).play(newest, rows) if row.occurred_at < EPOCH
    ]
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
    return _champion(champion.heads, _split(pa.concat_tables([older, other])), champion.vectors)


def untaught_champion(vectors: Vectors) -> WatchedChampion:
    """A champion trained on the snapshot without the chapters of UNSEEN."""
    stored = _stored_rows(columns=["chapter"])
    taught = stored.filter(pc.invert(pc.is_in(stored["chapter"], pa.array(UNSEEN))))
    tables = _split(taught.drop_columns("chapter"))
    params: HeadParams = TypeAdapter(HeadParams).validate_python(_head_spec())
    training = rows_of(tables.train, embed=vectors)
    heads = fit_heads(params, training=training, embedder_id="use", seed=7)
    return _champion(heads, tables, vectors)


@dataclass(frozen=True)
class SplitTables:
    """The tables that the stage split writes."""

    train: pa.Table
    recent: pa.Table
    labels: pa.Table


def _champion(heads: Heads, tables: SplitTables, vectors: Vectors) -> WatchedChampion:
    memory = labels_memory(tables.labels, classifier=KEY)
    return WatchedChampion(heads, memory, _reference(heads, tables, vectors), vectors)


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


def _split(stored: pa.Table) -> SplitTables:
    """Split as the stage does: training pairs, recent rows with those of rare labels, labels."""
    spec = _spec()
    history = within_history(labelled_rows(stored, label=KEY), days=spec["history_days"])
    rows, left_out = leave_out_rare(history, min_rows=spec["min_rows_per_label"])
    masks = split.split_rows(rows, test_days=spec["test_days"], seed=spec["seed"])
    recent = split.with_left_out(split.recent_table(rows, masks), history, left_out=left_out)
    train = split.training_table(rows, test=masks.test, seed=spec["seed"])
    return SplitTables(train, recent, split.labels_table(rows, test=masks.test))


def _reference(heads: Heads, tables: SplitTables, vectors: Vectors) -> pd.DataFrame:
    """Make the reference rows as the stage evaluate does."""
    memory = training_memory(tables.labels, classifier=KEY)
    cleaned = tables.recent["cleaned"].to_pylist()
    phrases = sorted(set(cleaned))
    judged = dict(zip(phrases, answers_of(heads.judged, memory, phrases, vectors), strict=True))
    answered = tables.recent.append_column(
        "predicted", pa.array([judged[phrase][0] for phrase in cleaned])
    ).append_column("probability", pa.array([judged[phrase][1] for phrase in cleaned]))
    known = answer_known(heads.served, answered, tables.labels, embed=vectors)
    rows = reference_table(known, test_share=split.TEST_SHARE).to_pandas()
    return rows.rename(columns={"predicted": "label", "probability": "confidence"})
