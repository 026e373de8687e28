"""Measures how well a classifier refuses phrases that no label fits, beside its peers.

    python -m benchmarks.abstain [--file PHRASES.csv] [--classifier block] [--quick]

A fifth of the labels is held out: their phrases are foreign, and nothing is fitted on them. With
`--file`, a CSV with the columns phrase and label, its classifier is measured too, and the phrases
of each are foreign to the other. Needs `make data` and `dvc repro`.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.harness import Bar, Result, median, options, present, progress, table
from pipelines.__main__ import pin_arithmetic

if TYPE_CHECKING:
    from pipelines.model.head_file import Head

PACKAGES = ("numpy", "scipy", "scikit-learn")
MAX_FALSE = 0.04
MIN_PRECISION = 0.97
HELD_OUT = 5  # of so many labels, the phrases of one are foreign
UNSEEN = 3000  # phrases at most that set the threshold, and as many fresh ones
FOREIGN = 1000
ASKED = 300
OURS = "together"
COLUMNS = ("AUC", "refused", "found", "F1", "answered", "precision")


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
class Parts:
    """Phrases that train, that set the threshold, that are fresh, and those of held-out labels."""

    train: Phrases
    unseen: Phrases
    fresh: Phrases
    held_out: Phrases


def main() -> None:
    """Print the tables and the bars."""
    parser = options("Measure refusals of foreign phrases.")
    parser.add_argument("--file", type=Path, help="a CSV with the columns phrase and label")
    parser.add_argument("--classifier", default="block", help="with a split under build/")
    arguments = parser.parse_args()
    pin_arithmetic()
    result = measure(
        arguments.classifier, arguments.file, quick=arguments.quick, seed=arguments.seed
    )
    present(result, title="Refusals", packages=PACKAGES, arguments=arguments)


def measure(classifier: str, file: Path | None, *, quick: bool, seed: int) -> Result:
    """Fit a head per set and seed, and refuse by every score."""
    sets = [read_classifier(classifier), *([read_file(file)] if file else [])]
    if quick:
        sets = [some(phrases, 4000, seed=seed) for phrases in sets]
    scores: dict[tuple[str, str], list[dict[str, Any]]] = {}
    microseconds = 0.0
    for number, phrases in enumerate(sets):
        others = [other for place, other in enumerate(sets) if place != number]
        for run in range(seed, seed + (1 if quick else 3)):
            progress(f"{phrases.name}, seed {run}")
            parts = split(phrases, seed=run)
            head = fit(parts.train)
            foreign = {"held-out labels": parts.held_out} | {other.name: other for other in others}
            for name, strangers in foreign.items():
                measured = contend(head, parts, some(strangers, FOREIGN, seed=run))
                scores.setdefault((phrases.name, name), []).append(measured)
        microseconds = max(microseconds, cost(head, parts))
    means = {key: _means(runs) for key, runs in scores.items()}
    return Result(
        figures={
            "scores": {" / ".join(key): value for key, value in means.items()},
            "microseconds": microseconds,
        },
        bars=list(bars(means, microseconds)),
        tables=[_table(key, value) for key, value in means.items()],
        input=", ".join(f"{len(one.cleaned):,} phrases of {one.name}" for one in sets),
    )


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


def split(phrases: Phrases, *, seed: int) -> Parts:
    """Hold labels out, and phrases of the others; labels that nothing trains are left out."""
    random = np.random.default_rng(seed)
    names = random.permutation(np.unique(phrases.labels))
    foreign = np.isin(phrases.labels, names[: max(1, len(names) // HELD_OUT)])
    own = random.permutation(np.flatnonzero(~foreign))
    size = min(len(own) // HELD_OUT, UNSEEN)
    unseen, fresh, train = own[:size], own[size : 2 * size], own[2 * size :]
    labels, counts = np.unique(phrases.labels[train], return_counts=True)
    known = labels[counts > 1]

    def of_known(places: np.ndarray) -> Phrases:
        return phrases.take(places[np.isin(phrases.labels[places], known)])

    held_out = phrases.take(np.flatnonzero(foreign))
    return Parts(of_known(train), of_known(unseen), of_known(fresh), held_out)


def fit(train: Phrases) -> Head:
    """Fit the default head."""
    from core.head_params import HybridSvmHead
    from pipelines.model.heads import fit_head
    from pipelines.model.training import TrainingRows

    validation = np.arange(len(train.cleaned)) % 10 == 0
    rows = TrainingRows(train.cleaned, train.labels, train.rows, train.vectors, validation)
    return fit_head(HybridSvmHead(), training=rows, embedder_id="benchmark", seed=7)


def contend(head: Head, parts: Parts, foreign: Phrases) -> dict[str, dict[str, float]]:
    """Return score -> its figures: for every contender, high for phrases that a label fits."""
    known = np.array(head.labels)
    right = {
        name: known[head.probabilities(list(part.cleaned), part.vectors).argmax(axis=1)]
        == part.labels
        for name, part in (("unseen", parts.unseen), ("fresh", parts.fresh))
    }
    return {
        name: judge(score(parts.unseen), score(parts.fresh), score(foreign), right)
        for name, score in contenders(head, parts).items()
    }


Score = Callable[[Phrases], np.ndarray]


def contenders(head: Head, parts: Parts) -> dict[str, Score]:
    """Return the scores that compete; only the peers look at training phrases."""
    from sklearn.ensemble import IsolationForest
    from sklearn.neighbors import LocalOutlierFactor

    from pipelines.model.abstention import fit_score, log_odds
    from pipelines.model.novelty import novelty

    def confidence(phrases: Phrases) -> np.ndarray:
        shares = head.probabilities(list(phrases.cleaned), phrases.vectors)
        return np.asarray(shares.max(axis=1))

    def far(phrases: Phrases) -> np.ndarray:
        return novelty(head, phrases.vectors)

    sure, usual = log_odds(confidence(parts.unseen)), far(parts.unseen)
    rule = fit_score(confidence(parts.unseen), usual)
    local = LocalOutlierFactor(n_neighbors=20, novelty=True).fit(parts.train.vectors)
    forest = IsolationForest(random_state=0).fit(parts.train.vectors)
    return {
        OURS: lambda phrases: rule.scores(confidence(phrases), far(phrases)),
        "confidence (maximum softmax)": lambda phrases: log_odds(confidence(phrases)),
        "novelty": lambda phrases: -far(phrases),
        "sum of both, standardised": lambda phrases: (
            log_odds(confidence(phrases)) / sure.std() - far(phrases) / usual.std()
        ),
        "LocalOutlierFactor": lambda phrases: local.score_samples(phrases.vectors),
        "IsolationForest": lambda phrases: forest.score_samples(phrases.vectors),
    }


def judge(
    unseen: np.ndarray, fresh: np.ndarray, foreign: np.ndarray, right: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Return the figures of one score under both policies.

    With `max_false`: the share of fresh phrases refused, of foreign ones found, and F1 of these.
    With `min_precision`: the share of fresh phrases answered, and how many of them are right.
    """
    from sklearn.metrics import roc_auc_score

    from pipelines.stages.abstention_rule import proved_scores, refusing_at_most, right_at_least

    unseen, fresh, foreign = (np.asarray(scores, float) for scores in (unseen, fresh, foreign))
    truth = np.append(np.ones(len(fresh)), np.zeros(len(foreign)))
    limit = refusing_at_most(unseen, MAX_FALSE)
    found, refused = (foreign < limit).sum(), (fresh < limit).sum()
    least = right_at_least(proved_scores(unseen, right["unseen"]), MIN_PRECISION)
    answered = fresh >= least
    return {
        "AUC": float(roc_auc_score(truth, np.append(fresh, foreign))),
        "refused": float(refused / len(fresh)),
        "found": float(found / len(foreign)),
        "F1": float(2 * found / (found + refused + len(foreign))),
        "answered": float(answered.mean()),
        "precision": float(right["fresh"][answered].mean()) if answered.any() else 1.0,
    }


def cost(head: Head, parts: Parts) -> float:
    """Return the microseconds that a refusal adds to the answer to one new phrase."""
    from pipelines.model.abstention import Abstention
    from pipelines.model.classifier import PhraseClassifier

    asked = parts.fresh.take(np.arange(min(ASKED, len(parts.fresh.cleaned))))
    rules = (None, Abstention(0.0, 0.4, 10.0))
    models = [PhraseClassifier(head, lambda _: asked.vectors, abstention=rule) for rule in rules]
    seconds: list[list[float]] = [[], []]
    for _ in range(5):
        for number, model in enumerate(models):
            seconds[number].append(_seconds_each(model, asked))
    return 1e6 * (median(seconds[1]) - median(seconds[0]))


def _seconds_each(model: Any, asked: Phrases) -> float:
    started = time.perf_counter()
    for place, text in enumerate(asked.cleaned.tolist()):
        model.predict_cleaned([text], asked.vectors[place : place + 1])
    return (time.perf_counter() - started) / len(asked.cleaned)


def _means(runs: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    return {
        name: {
            column: float(np.mean([run[name][column] for run in runs])) for column in runs[0][name]
        }
        for name in runs[0]
    }


def _table(key: tuple[str, str], scores: Mapping[str, Mapping[str, float]]) -> str:
    rows = [
        (name, *(f"{figures[column]:.3f}" for column in COLUMNS))
        for name, figures in scores.items()
    ]
    return table((f"{key[0]}; foreign: {key[1]}", *COLUMNS), rows)


def bars(
    means: Mapping[tuple[str, str], Mapping[str, Mapping[str, float]]], microseconds: float
) -> Iterator[Bar]:
    """Yield the bars; those of another field need `--file`."""
    ours = {key: scores[OURS] for key, scores in means.items()}
    of_another_field = [
        figures["F1"] for key, figures in ours.items() if key[1] != "held-out labels"
    ]
    yield Bar(
        "F1 of foreign phrases of another field, the worst",
        min(of_another_field, default=None),
        0.82,
        at_least=True,
    )
    yield Bar(
        "share of phrases with a label refused, the worst",
        max(figures["refused"] for figures in ours.values()),
        0.045,
    )
    single = ("confidence (maximum softmax)", "novelty")
    behind = [
        max(scores[name]["AUC"] for name in single) - scores[OURS]["AUC"]
        for scores in means.values()
    ]
    yield Bar("AUC behind the better of confidence and novelty, the worst", max(behind), 0.01)
    yield Bar(
        "precision of the answers under min_precision, the worst",
        min(figures["precision"] for figures in ours.values()),
        MIN_PRECISION,
        at_least=True,
    )
    yield Bar("microseconds that a refusal adds to a new phrase", microseconds, 50)


if __name__ == "__main__":
    main()
