"""Sets with labelled rows, test rows, and phrases whose label a head does not see."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from itertools import takewhile
from pathlib import Path

import numpy as np

from benchmarks.heads_sets import SOURCES, load_set
from core.settings import REPOSITORY
from pipelines.model.arrays import Float32, Strings
from pipelines.model.embedder import load_embedder
from pipelines.model.text import clean_phrase
from pipelines.model.training import TrainingRows
from pipelines.source.practice import EPOCH
from pipelines.source.traffic import SimulatedTraffic
from pipelines.stages.files import classifier_folder, read_rows
from pipelines.stages.training_pairs import training_rows
from pipelines.unlabelled import UnlabelledPhrases, by_frequency

MOST_PHRASES = 8000
QUICK_PHRASES = 1000
ENDLESS = 10**9


@dataclass(frozen=True, eq=False)
class UnlabelledSet:
    """Labelled pairs with test rows, and phrases that clients asked.

    `truth` (n,) has the labels of the `unlabelled` phrases, for the benchmark alone; `vectors`
    (n, d).
    """

    name: str
    seed: int
    rows: TrainingRows
    unlabelled: UnlabelledPhrases
    truth: Strings
    vectors: Float32


def cut_set(name: str, *, file: Path | None, seed: int, quick: bool) -> UnlabelledSet:
    """Return a set of `benchmarks.heads`; the training phrases beyond its cut lose their label."""
    given = load_set(name, file=file, seed=seed, quick=quick)
    pairs = SOURCES[name.rpartition("-")[0]](file, seed)
    free = ~pairs.tests & ~np.isin(pairs.phrases, given.rows.cleaned)
    most = QUICK_PHRASES if quick else MOST_PHRASES
    places = np.random.default_rng(seed).permutation(np.flatnonzero(free))[:most]
    phrases = pairs.phrases[places].tolist()
    unlabelled = UnlabelledPhrases(tuple(phrases), (1,) * len(phrases))
    return UnlabelledSet(
        f"{name}, seed {seed}",
        seed,
        given.rows,
        unlabelled,
        pairs.labels[places].astype(str),
        load_embedder(REPOSITORY / "build" / "embedder")(phrases),
    )


def demo_set(key: str, *, days: int, seed: int) -> UnlabelledSet:
    """Return the split under build/ and the traffic of the days after its snapshot.

    The label of a phrase is the one that it gets most often there.
    """
    labels = read_rows(classifier_folder(key) / "split" / "labels.parquet")
    labelled = set(labels["cleaned"].to_pylist())
    end = EPOCH + timedelta(days=days)
    arrivals = SimulatedTraffic("default", seed).play(EPOCH, ENDLESS)
    counts: dict[str, Counter[str]] = {}
    for arrival in takewhile(lambda arrival: arrival.occurred_at < end, arrivals):
        phrase = clean_phrase(arrival.phrase)
        counts.setdefault(phrase, Counter())[arrival.labels[key]] += 1
    every = by_frequency([(phrase, of_label.total()) for phrase, of_label in counts.items()])
    unlabelled = every.without(labelled)
    truth = [counts[phrase].most_common(1)[0][0] for phrase in unlabelled.cleaned]
    return UnlabelledSet(
        f"demo {key}, {days} days",
        seed,
        training_rows(key),
        unlabelled,
        np.array(truth, dtype=str),
        load_embedder(REPOSITORY / "build" / "embedder")(list(unlabelled.cleaned)),
    )
