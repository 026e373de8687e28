"""The phrases on which refusals are measured: those that train, fresh ones, and foreign ones."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HELD_OUT = 5  # of so many labels, the phrases of one are foreign
UNSEEN = 3000  # phrases at most that set the threshold, and as many fresh ones


@dataclass(frozen=True)
class Phrases:
    """Distinct phrases of one classifier, (n,) each, with their vectors (n, d) and row counts."""

    name: str
    cleaned: np.ndarray
    labels: np.ndarray
    vectors: np.ndarray
    rows: np.ndarray

    def take(self, places: np.ndarray) -> Phrases:
        return Phrases(
            self.name,
            self.cleaned[places],
            self.labels[places],
            self.vectors[places],
            self.rows[places],
        )


@dataclass(frozen=True)
class PhraseSplit:
    """Phrases that train, that set the threshold, that are fresh, and those of held-out labels."""

    train: Phrases
    unseen: Phrases
    fresh: Phrases
    held_out: Phrases


def read_classifier(key: str) -> Phrases:
    """Return the phrases of a split under build/, each with its most frequent label."""
    from pipelines.stages.files import classifier_folder, read_rows
    from pipelines.stages.vectors import read_vectors

    pairs = read_rows(classifier_folder(key) / "split" / "train.parquet").to_pandas()
    pairs["all"] = pairs["rows"] + pairs["test_rows"]
    pairs = pairs.sort_values(["all", "label"], ascending=[False, True], kind="stable")
    pairs = pairs.drop_duplicates("cleaned").sort_values("cleaned")
    cleaned = pairs["cleaned"].to_numpy(object)
    return Phrases(
        key,
        cleaned,
        pairs["label"].to_numpy(str),
        read_vectors(cleaned.tolist()),
        pairs["all"].to_numpy(float),
    )


def read_file(file: Path) -> Phrases:
    """Return the distinct phrases of a CSV, embedded by the embedder under build/."""
    from pipelines.model.embedder import load_embedder
    from pipelines.model.text import clean_phrase
    from pipelines.stages.files import EMBEDDER

    label_of: dict[str, str] = {}
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            label_of.setdefault(clean_phrase(row["phrase"]), row["label"])
    label_of.pop("", None)
    cleaned = list(label_of)
    embed = load_embedder(EMBEDDER)
    chunks = [embed(cleaned[start : start + 512]) for start in range(0, len(cleaned), 512)]
    labels = np.array(list(label_of.values()))
    rows = np.ones(len(cleaned))
    return Phrases(file.stem, np.array(cleaned, object), labels, np.concatenate(chunks), rows)


def some(phrases: Phrases, most: int, *, seed: int) -> Phrases:
    """Return at most so many phrases, drawn at random."""
    return phrases.take(np.random.default_rng(seed).permutation(len(phrases.cleaned))[:most])


def split(phrases: Phrases, *, seed: int) -> PhraseSplit:
    """Hold labels out, and phrases of the others; labels that nothing trains are left out."""
    random = np.random.default_rng(seed)
    names = random.permutation(np.unique(phrases.labels))
    foreign = np.isin(phrases.labels, names[: max(1, len(names) // HELD_OUT)])
    own = random.permutation(np.flatnonzero(~foreign))
    size = min(len(own) // HELD_OUT, UNSEEN)
    unseen, fresh, train = np.split(own, [size, 2 * size])
    labels, counts = np.unique(phrases.labels[train], return_counts=True)
    known = labels[counts > 1]

    def of_known(places: np.ndarray) -> Phrases:
        return phrases.take(places[np.isin(phrases.labels[places], known)])

    held_out = phrases.take(np.flatnonzero(foreign))
    return PhraseSplit(of_known(train), of_known(unseen), of_known(fresh), held_out)
