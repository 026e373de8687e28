"""Measures how well a classifier refuses phrases that no label fits, beside its peers.

    python -m benchmarks.abstain [--file PHRASES.csv] [--classifier block] [--quick]

A fifth of the labels is held out: their phrases are foreign, and nothing is fitted on them. With
`--file`, a CSV with the columns phrase and label, its classifier is measured too, and the phrases
of each are foreign to the other. Needs `make data` and `dvc repro`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.abstain_phrases import Phrases, PhraseSplit, read_classifier, read_file, some, split
from benchmarks.abstain_scores import CONFIDENCE, MAX_FALSE, MIN_PRECISION, NOVELTY, OURS, contend
from benchmarks.harness import Bar, Result, options, present, progress, table
from pipelines.__main__ import pin_arithmetic

if TYPE_CHECKING:
    from pipelines.model.abstention import Abstention
    from pipelines.model.classifier import PhraseClassifier
    from pipelines.model.head_file import Head

PACKAGES = ("numpy", "scipy", "scikit-learn")
FOREIGN = 1000
TIMED_PHRASES = 100
ROUNDS = 15
COLUMNS = ("AUC", "refused", "found", "F1", "answered", "precision")


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
        input=", ".join(f"{len(phrases.cleaned):,} phrases of {phrases.name}" for phrases in sets),
    )


def fit(train: Phrases) -> Head:
    """Fit the default head."""
    from core.params.heads import HybridSvmHead
    from pipelines.model.heads import fit_head
    from pipelines.model.training import TrainingRows

    validation = np.arange(len(train.cleaned)) % 10 == 0
    rows = TrainingRows(train.cleaned, train.labels, train.rows, train.vectors, validation)
    return fit_head(HybridSvmHead(), training=rows, embedder_id="benchmark", seed=7)


def cost(head: Head, parts: PhraseSplit) -> float:
    """Return the microseconds of CPU that a refusal adds to the answer to one new phrase.

    Of several rounds the fastest counts: others wait for the processor.
    """
    from pipelines.model.classifier import PhraseClassifier

    timed = parts.fresh.take(np.arange(min(TIMED_PHRASES, len(parts.fresh.cleaned))))
    rules = (None, rule_of(head, parts.unseen))
    models = [PhraseClassifier(head, lambda _: timed.vectors, abstention=rule) for rule in rules]
    fastest = [min(_seconds_each(model, timed) for _ in range(ROUNDS)) for model in models]
    return 1e6 * (fastest[1] - fastest[0])


def rule_of(head: Head, unseen: Phrases) -> Abstention:
    """Return the rule that refuses MAX_FALSE of the phrases that have a label."""
    from pipelines.model.abstention import fit_score
    from pipelines.model.novelty import novelty
    from pipelines.stages.abstention_rule import refusing_at_most

    confidence = head.probabilities(list(unseen.cleaned), unseen.vectors).max(axis=1)
    far = novelty(head, unseen.vectors)
    score = fit_score(confidence, far)
    return replace(score, threshold=refusing_at_most(score.scores(confidence, far), MAX_FALSE))


def _seconds_each(model: PhraseClassifier, phrases: Phrases) -> float:
    started = time.thread_time()
    for place, text in enumerate(phrases.cleaned.tolist()):
        model.predict_cleaned([text], phrases.vectors[place : place + 1])
    return (time.thread_time() - started) / len(phrases.cleaned)


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
    single = (CONFIDENCE, NOVELTY)
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
