"""The data sets that heads are compared on: phrases with labels, cut to so many rows a label."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.settings import REPOSITORY
from pipelines.memory.build import build_memory
from pipelines.model.arrays import Bool, Float32, Int64, Strings
from pipelines.model.embedder import load_embedder
from pipelines.model.memory import Memory
from pipelines.model.text import clean_phrase
from pipelines.model.training import TrainingRows
from pipelines.source.icd import load_catalogue
from pipelines.stages.split import VALIDATION_SHARE, chosen_phrases

MOST_LABELS = 1000
TEST_SHARE = 0.2
UNSEEN_ROWS = 3000
QUICK_LABELS = 60
QUICK_UNSEEN_ROWS = 500


@dataclass(frozen=True, eq=False)
class Pairs:
    """Distinct cleaned phrases, each with its label, and whether it tests: (n,) each."""

    phrases: Strings
    labels: Strings
    tests: Bool


@dataclass(frozen=True, eq=False)
class JudgedRows:
    """Half of the rows repeat phrases of the training rows; the others are `unseen`: (n,) each."""

    cleaned: Strings
    labels: Strings
    unseen: Bool
    vectors: Float32


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """A set as every contender gets it. The unseen test rows are the test rows of `rows`."""

    name: str
    rows: TrainingRows
    tested: JudgedRows
    memory: Memory

    @property
    def training(self) -> tuple[list[str], list[str]]:
        """Phrases and labels of the rows that train."""
        part = self.rows.without_test()
        return part.cleaned.tolist(), part.labels.tolist()

    def tail(self) -> Strings:
        """The third of the labels that have the fewest training rows; ties in label order."""
        names, counts = np.unique(self.training[1], return_counts=True)
        return names[np.argsort(counts, kind="stable")[: max(1, len(names) // 3)]]


def set_names(*, commands: bool) -> list[str]:
    """The names of all sets: source and rows a label. `commands`: their file is given."""
    sources = [name for name in SOURCES if commands or name != "commands"]
    return [f"{source}-{rows}" for rows in (20, 200) for source in sources]


def load_set(name: str, *, file: Path | None, seed: int, quick: bool) -> LabelledSet:
    """Read, cut, split and embed a set; the same seed gives the same rows."""
    source, _, rows_per_label = name.rpartition("-")
    pairs = SOURCES[source](file, seed)
    if quick:
        pairs = most_frequent(pairs, QUICK_LABELS)
    random = np.random.default_rng(seed)
    training = cut(pairs, random.permutation(np.flatnonzero(~pairs.tests)), int(rows_per_label))
    known_labels = np.isin(pairs.labels, pairs.labels[training])
    unseen = random.permutation(np.flatnonzero(pairs.tests & known_labels))
    unseen = unseen[: QUICK_UNSEEN_ROWS if quick else UNSEEN_ROWS]
    repeated = random.choice(training, len(unseen))
    return _assemble(name, pairs, training, unseen, repeated, seed=seed)


def cut(pairs: Pairs, order: Int64, rows_per_label: int) -> Int64:
    """Return the first rows of each label in `order`, places in `pairs`."""
    labels = pairs.labels[order]
    by_label = np.argsort(labels, kind="stable")
    _, starts, counts = np.unique(labels[by_label], return_index=True, return_counts=True)
    rank = np.empty(len(order), int)
    rank[by_label] = np.arange(len(order)) - np.repeat(starts, counts)
    chosen: Int64 = order[rank < rows_per_label]
    return chosen


def most_frequent(pairs: Pairs, count: int) -> Pairs:
    """Keep the labels with the most phrases."""
    names, counts = np.unique(pairs.labels, return_counts=True)
    kept = np.isin(pairs.labels, names[np.argsort(-counts, kind="stable")[:count]])
    return Pairs(pairs.phrases[kept], pairs.labels[kept], pairs.tests[kept])


def _assemble(
    name: str, pairs: Pairs, training: Int64, unseen: Int64, repeated: Int64, *, seed: int
) -> LabelledSet:
    embed = load_embedder(REPOSITORY / "build" / "embedder")
    places = np.concatenate([training, unseen])
    phrases = pairs.phrases[places]
    labels = pairs.labels[places]
    vectors = embed(phrases.tolist())
    vector_of = dict(zip(places.tolist(), vectors, strict=True))
    trains = np.arange(len(places)) < len(training)
    held = chosen_phrases(phrases, share=VALIDATION_SHARE, salt=f"validation-{seed}")
    rows = TrainingRows(
        cleaned=phrases,
        labels=labels.astype(str),
        weights=trains.astype(np.float64),
        vectors=vectors,
        validation=held & trains,
        test_weights=(~trains).astype(np.float64),
    )
    tested_places = np.concatenate([unseen, repeated])
    tested = JudgedRows(
        cleaned=pairs.phrases[tested_places],
        labels=pairs.labels[tested_places].astype(str),
        unseen=np.arange(len(tested_places)) < len(unseen),
        vectors=np.array([vector_of[place] for place in tested_places.tolist()]),
    )
    return LabelledSet(name, rows, tested, _memory(phrases[trains], labels[trains]))


def _memory(phrases: Strings, labels: Strings) -> Memory:
    moment = pd.Timestamp("2026-01-01", tz="UTC")
    rows = pd.DataFrame({"cleaned": phrases, "label": labels, "received_at": moment})
    rows = rows.assign(author="", kind="")
    return build_memory(rows, classifier="set", revision=0, as_of=moment)


def _icd(level: str, file: Path | None, seed: int) -> Pairs:
    """ICD-10-CM terms of up to eight words under their block or category."""
    catalogue = load_catalogue()
    texts = catalogue.base + catalogue.ending
    labels: dict[str, str] = {}
    for text, number in zip(texts.tolist(), catalogue.code.tolist(), strict=True):
        code = catalogue.codes[number]
        labels.setdefault(clean_phrase(text), code.block if level == "blocks" else code.code[:3])
    phrases = np.array(list(labels), dtype=object)
    tests = chosen_phrases(phrases, share=TEST_SHARE, salt=f"test-{seed}")
    pairs = Pairs(phrases, np.array(list(labels.values()), dtype=object), tests)
    return most_frequent(pairs, MOST_LABELS)


def _commands(file: Path | None, seed: int) -> Pairs:
    """Phrases of a CSV with the columns part (train, test), phrase and label."""
    if file is None:
        raise SystemExit("The set `commands` needs its CSV: give it with --file.")
    with file.open(encoding="utf-8", newline="") as lines:
        rows: dict[str, dict[str, Any]] = {}
        for row in csv.DictReader(lines):
            rows.setdefault(clean_phrase(row["phrase"]), row)
    return Pairs(
        np.array(list(rows), dtype=object),
        np.array([row["label"] for row in rows.values()], dtype=object),
        np.array([row["part"] == "test" for row in rows.values()]),
    )


SOURCES: dict[str, Callable[[Path | None, int], Pairs]] = {
    "blocks": partial(_icd, "blocks"),
    "commands": _commands,
    "categories": partial(_icd, "categories"),
}
