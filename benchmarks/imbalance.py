"""Compares what can be done for rare labels: every F1, calibration and seconds of each way.

    python -m benchmarks.imbalance [--classifier block] [--file PHRASES.csv] [--quick]

The sets: a snapshot under build/ (needs `make data` and `dvc repro`), a CSV of columns part (train
or test), phrase and label, which is cut to a long tail, and a generated one. `--sets` and `--heads`
choose some of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Result, options, present, progress, table, timed
from pipelines.__main__ import pin_arithmetic

if TYPE_CHECKING:
    from benchmarks.imbalance_adjustment import Adjustment
    from benchmarks.imbalance_world import ImbalancedSet
    from pipelines.model.head_file import Head
    from pipelines.model.training import TrainingRows

PACKAGES = ("numpy", "scipy", "scikit-learn", "imbalanced-learn", "keras")
SETS = ("built", "file", "generated")
HEADS = ("hybrid_svm", "logistic", "mlp")
FOCAL = 2.0
"""The gamma that Lin et al. (2017) recommend."""
COLUMNS = (
    "weighted F1",
    "macro F1",
    "tail F1",
    "calibration error",
    "unseen: calibration error",
    "fit, CPU-s",
)


@dataclass(frozen=True)
class Way:
    """One row of the table: a head, what it leans towards, and what is done beside.

    `change` changes the training pairs; `adjusted` adjusts the logits after the fit.
    """

    name: str
    head: dict[str, Any]
    favour: str = "weighted"
    change: Callable[[TrainingRows], TrainingRows] | None = None
    adjusted: bool = False


def over_sample(rows: TrainingRows) -> TrainingRows:
    """Repeat pairs of labels that have fewer than the average; the validation slice stays."""
    import numpy as np
    from imblearn.over_sampling import RandomOverSampler

    fitting = np.flatnonzero(~rows.validation)
    labels = rows.labels[fitting]
    names, counts = np.unique(labels, return_counts=True)
    least = round(counts.mean())
    wanted = {
        str(label): max(int(count), least) for label, count in zip(names, counts, strict=True)
    }
    sampler = RandomOverSampler(sampling_strategy=wanted, random_state=7)
    places, _ = sampler.fit_resample(fitting[:, None], labels)
    chosen = np.concatenate([places[:, 0], np.flatnonzero(rows.validation)])
    return picked(rows, np.sort(chosen))


WAYS = (
    Way("hybrid_svm", {"kind": "hybrid_svm"}),
    Way("hybrid_svm, favour: macro", {"kind": "hybrid_svm"}, "macro"),
    Way("hybrid_svm, favour: tail", {"kind": "hybrid_svm"}, "tail"),
    Way("hybrid_svm, logit adjustment", {"kind": "hybrid_svm"}, adjusted=True),
    Way("hybrid_svm, over-sampled", {"kind": "hybrid_svm"}, change=over_sample),
    Way("logistic", {"kind": "logistic"}),
    Way("logistic, favour: macro", {"kind": "logistic"}, "macro"),
    Way("logistic, favour: tail", {"kind": "logistic"}, "tail"),
    Way("mlp", {"kind": "mlp"}),
    Way("mlp, favour: macro", {"kind": "mlp"}, "macro"),
    Way("mlp, favour: tail", {"kind": "mlp"}, "tail"),
    Way("mlp, focal loss", {"kind": "mlp", "focal": FOCAL}),
)


def picked(rows: TrainingRows, places: Any) -> TrainingRows:
    """Return the pairs at `places`, which may repeat."""
    return replace(
        rows,
        cleaned=rows.cleaned[places],
        labels=rows.labels[places],
        weights=rows.weights[places],
        vectors=rows.vectors[places],
        validation=rows.validation[places],
        present=None if rows.present is None else rows.present[places],
    )


def fit(way: Way, rows: TrainingRows, *, seed: int) -> tuple[Head, Adjustment | None]:
    """Fit the judged head of one way, and what is added to its logits."""
    from pydantic import TypeAdapter

    from benchmarks.imbalance_adjustment import choose_adjustment
    from core.params.heads import Head as HeadParams
    from pipelines.model.heads import fit_head

    params: HeadParams = TypeAdapter(HeadParams).validate_python(way.head)
    training = way.change(rows) if way.change else rows
    favour: Any = way.favour

    def fitted(training: TrainingRows) -> Head:
        return fit_head(params, training=training, embedder_id="bench", seed=seed, favour=favour)

    adjustment = None
    if way.adjusted:
        without = picked(rows, (~rows.validation).nonzero()[0])
        held = picked(rows, rows.validation.nonzero()[0])
        adjustment = choose_adjustment(fitted(without), fitted=without, held=held)
    return fitted(training), adjustment


def scores_of(head: Head, given: ImbalancedSet, adjustment: Adjustment | None) -> dict[str, float]:
    """Return the F1s of the set's test rows, and the calibration of all and of unseen phrases."""
    import numpy as np

    from benchmarks.imbalance_adjustment import label_f1, tail_labels
    from pipelines.gate.scores import encode
    from pipelines.model.memory import AppliedMemory

    shares = head.probabilities(given.phrases, given.vectors)
    if adjustment is not None:
        shares = adjustment.apply(head, shares)
    names = head.labels
    if given.memory is not None:
        applied = AppliedMemory.beside(given.memory, head.labels)
        shares = applied.apply(given.phrases, shares)
        names = applied.labels
    answers = np.array(names, dtype=str)[shares.argmax(axis=1)]
    truth, predicted, trained = encode(given.labels, answers, given.training.labels.astype(str))
    count = 1 + max(truth.max(), predicted.max(), trained.max())
    rows = np.bincount(trained, given.training.weights, count).astype(np.float64)
    f1 = label_f1(truth, predicted, given.weights, labels=count)
    present = np.unique(truth)
    learnt = np.flatnonzero(rows)
    tail = np.intersect1d(present, learnt[tail_labels(rows[learnt])])
    right = truth == predicted
    best = shares.max(axis=1)
    return {
        "weighted_f1": float(np.average(f1, weights=np.bincount(truth, given.weights, count))),
        "macro_f1": float(f1[present].mean()),
        "tail_f1": float(f1[tail].mean()),
        "calibration_error": calibration(best, right, given.weights),
        "unseen_calibration_error": calibration(
            best[given.unseen], right[given.unseen], given.weights[given.unseen]
        ),
    }


def calibration(probability: Any, right: Any, weights: Any) -> float:
    """Return the expected calibration error of weighted rows."""
    import numpy as np

    from pipelines.stages.scores import CALIBRATION_BINS

    bins = np.minimum((probability * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights * (probability - right), CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / weights.sum())


def sets(arguments: argparse.Namespace) -> Iterator[ImbalancedSet]:
    """Yield the sets that were asked for."""
    from benchmarks.imbalance_world import built_set, file_set, generated_set

    if "built" in arguments.sets:
        yield built_set(arguments.classifier)
    if "file" in arguments.sets and arguments.file:
        from pipelines.model.embedder import load_embedder
        from pipelines.stages.files import EMBEDDER

        yield file_set(arguments.file, embed=load_embedder(EMBEDDER), seed=arguments.seed)
    if "generated" in arguments.sets:
        most_rows = 100 if arguments.quick else 1000
        yield generated_set(labels=40, most_rows=most_rows, seed=arguments.seed)


def measure(given: ImbalancedSet, ways: list[Way], *, seed: int) -> dict[str, dict[str, float]]:
    """Return way -> scores and CPU seconds of one fit."""
    figures = {}
    for way in ways:
        progress(f"{given.name}: {way.name}")
        with timed() as timing:
            head, adjustment = fit(way, given.training, seed=seed)
        figures[way.name] = {
            **scores_of(head, given, adjustment),
            "fit_cpu_seconds": round(timing.cpu, 1),
            "tau": adjustment.tau if adjustment else 0.0,
        }
    return figures


def _table(figures: dict[str, dict[str, float]]) -> str:
    names = ("weighted_f1", "macro_f1", "tail_f1", "calibration_error", "unseen_calibration_error")
    lines = [
        (
            way,
            *(f"{scores[name]:.4f}" for name in names),
            f"{scores['fit_cpu_seconds']:.1f}",
        )
        for way, scores in figures.items()
    ]
    return table(("way", *COLUMNS), lines)


def main() -> None:
    """Print one table per set."""
    parser = options("Compare ways of serving rare labels.")
    parser.add_argument("--classifier", default="block", help="a classifier under build/")
    parser.add_argument("--file", type=Path, help="a CSV of columns part, phrase, label")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS, help="of all sets")
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=HEADS, help="of all heads")
    parser.set_defaults(seed=7)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.sets = ["generated"]
        arguments.heads = ["hybrid_svm"]
    pin_arithmetic()  # before numpy is imported, as in a stage
    if "mlp" in arguments.heads:
        from pipelines.model.mlp_head import import_keras

        import_keras()  # the import is not part of a fit
    ways = [way for way in WAYS if way.head["kind"] in arguments.heads]
    figures = {}
    tables = []
    inputs = []
    for given in sets(arguments):
        figures[given.name] = measure(given, ways, seed=arguments.seed)
        labels = len(set(given.training.labels.tolist()))
        pairs = f"{len(given.training.labels):,} phrases, {labels} labels"
        inputs.append(f"{given.name}: {pairs}, {len(given.labels):,} test rows")
        tables.append(f"### {given.name}\n\n{_table(figures[given.name])}")
    result = Result(figures={"sets": figures}, tables=tables, input="; ".join(inputs))
    present(result, title="Imbalance", packages=PACKAGES, arguments=arguments)


if __name__ == "__main__":
    main()
