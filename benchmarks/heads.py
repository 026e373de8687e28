"""Compares every kind of head, with its defaults, and peers of other libraries on the same rows.

    python -m benchmarks.heads --file commands.csv --keep heads.jsonl
    python -m benchmarks.heads --set blocks-20 --head hybrid_svm --head fastText

The ICD-10-CM sets come from the demo's package; the commands from a CSV with the columns part
(train, test), phrase and label. Phrases are embedded by build/embedder, which `dvc repro embedder`
makes. With --keep, every result is added to a file, and a second run measures only what it lacks.
fastText is measured when it is installed: `pip install --no-deps fasttext-wheel` (MIT, wheels for
Python 3.11).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Bar, Result, options, present, progress, table
from pipelines.__main__ import pin_arithmetic

if TYPE_CHECKING:
    from benchmarks.heads_contenders import Fitted
    from benchmarks.heads_sets import LabelledSet

PACKAGES = ("numpy", "scipy", "scikit-learn", "tensorflow", "keras")
COLUMNS = {
    "weighted_f1": "weighted F1",
    "macro_f1": "macro F1",
    "tail_f1": "tail third",
    "unseen_weighted_f1": "unseen",
    "calibration_error": "calibration error",
    "unseen_calibration_error": "unseen",
}
DEFAULT = "hybrid_svm"
QUICK_SETS = ("blocks-20", "commands-20")
NOISE = 0.05
"""Two heads are within noise of each other when McNemar's test gives at least this."""
EQUAL_F1 = 0.005

Measured = Mapping[str, Any]
Results = dict[tuple[str, str], Measured]


def main() -> None:
    """Print a table for every set."""
    pin_arithmetic()  # before numpy is imported, as in a stage
    from benchmarks.heads_contenders import CONTENDERS
    from benchmarks.heads_sets import set_names

    parser = options("Compare quality, size and cost of every kind of head and of its peers.")
    parser.add_argument("--file", type=Path, help="CSV of the set `commands`; without it, left out")
    parser.add_argument(
        "--set",
        dest="sets",
        action="append",
        choices=set_names(commands=True),
        help="measure this set alone; may be repeated",
    )
    parser.add_argument(
        "--head",
        dest="heads",
        action="append",
        choices=CONTENDERS,
        help="measure this head or peer alone; may be repeated",
    )
    parser.add_argument("--keep", type=Path, help="JSON lines of results, kept and reused")
    parser.add_argument(
        "--kept", action="store_true", help="print what the file of --keep holds, measure nothing"
    )
    parser.set_defaults(seed=7)  # the seed of params.yaml
    arguments = parser.parse_args()
    names = set_names(commands=arguments.file is not None)
    if arguments.quick:
        names = [name for name in names if name in QUICK_SETS]
    result = measure(arguments.sets or names, arguments.heads or CONTENDERS, arguments)
    present(result, title="Heads", packages=PACKAGES, arguments=arguments)


def measure(names: Sequence[str], heads: Sequence[str], arguments: argparse.Namespace) -> Result:
    """Measure every head on every set that is not kept, the default first: its time is a budget."""
    from benchmarks.heads_contenders import installed
    from benchmarks.heads_sets import load_set

    about = {"seed": arguments.seed, "quick": arguments.quick}
    kept = read_kept(arguments.keep, about)
    ordered = sorted(filter(installed, heads), key=lambda head: head != DEFAULT)
    for name in names:
        lacking = [head for head in ordered if (name, head) not in kept]
        if arguments.kept or not lacking:
            continue
        given = load_set(name, file=arguments.file, seed=arguments.seed, quick=arguments.quick)
        for head in lacking:
            progress(f"{name}: {head}")
            kept[name, head] = _measure_head(name, head, given, kept, seed=arguments.seed)
            keep(arguments.keep, {"set": name, "head": head, **about, **kept[name, head]})
    return report(names, heads, kept)


def _measure_head(
    name: str, head: str, given: LabelledSet, kept: Results, *, seed: int
) -> Measured:
    from benchmarks.heads_contenders import fit_contender

    budget = kept.get((name, DEFAULT), {}).get("fit_cpu_seconds", 0.0)
    return score(fit_contender(head, given, seed=seed, cpu_seconds=budget), given)


def score(fitted: Fitted, given: LabelledSet) -> dict[str, Any]:
    """Return the figures of a contender, and for each unseen row whether the answer was right."""
    import numpy as np
    from sklearn.metrics import f1_score

    from pipelines.stages.scores import ScoredAnswers, calibration_error

    tested = given.tested
    unseen = tested.unseen
    shares = np.zeros(len(unseen)) if fitted.probability is None else fitted.probability
    answers = ScoredAnswers(tested.labels, fitted.predicted, shares)

    def f1(part: ScoredAnswers, average: str, **chosen: Any) -> float:
        return float(
            f1_score(part.truth, part.predicted, average=average, zero_division=0, **chosen)
        )

    new = answers.only(unseen)
    calibrated = fitted.probability is not None
    tail = np.intersect1d(given.tail(), answers.truth)
    return {
        "weighted_f1": f1(answers, "weighted"),
        "macro_f1": f1(answers, "macro", labels=np.unique(answers.truth)),
        "tail_f1": f1(answers, "macro", labels=tail),
        "unseen_weighted_f1": f1(new, "weighted"),
        "calibration_error": calibration_error(answers) if calibrated else None,
        "unseen_calibration_error": calibration_error(new) if calibrated else None,
        "fit_cpu_seconds": fitted.fit_cpu_seconds,
        "phrase_cpu_ms": fitted.phrase_cpu_ms,
        "bytes": fitted.bytes,
        "training_rows": int(given.rows.trained().sum()),
        "labels": len(set(given.training[1])),
        "unseen_rows": int(unseen.sum()),
        "right": "".join("1" if right else "0" for right in new.truth == new.predicted),
    }


def read_kept(file: Path | None, about: Mapping[str, Any]) -> Results:
    """Return (set, head) -> figures of earlier runs with the same seed and the same size."""
    if file is None or not file.exists():
        return {}
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return {
        (line["set"], line["head"]): line
        for line in lines
        if all(line[name] == value for name, value in about.items())
    }


def keep(file: Path | None, line: Mapping[str, Any]) -> None:
    """Add a result to the file; an interrupted run loses only the head it was fitting."""
    if file is not None:
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")


def report(names: Sequence[str], heads: Sequence[str], kept: Results) -> Result:
    """Return the table of each set, its simplest head within noise, and the bars."""
    result = Result(input=f"{', '.join(names)}; half of the test rows repeat a training phrase")
    for name in names:
        figures = {head: kept[name, head] for head in heads if (name, head) in kept}
        if not figures:
            continue
        result.tables.append(set_table(name, figures))
        result.bars += bars(name, figures)
        result.figures[name] = {
            head: {key: value for key, value in row.items() if key != "right"}
            for head, row in figures.items()
        }
    return result


def set_table(name: str, figures: Mapping[str, Measured]) -> str:
    """Return one line per head, and which head is the simplest within noise of the best."""
    best = best_head(figures)
    lines = [(head, *cells(row), _p_value(row, figures[best])) for head, row in figures.items()]
    any_row = figures[best]
    about = (
        f"**{name}**: {any_row['training_rows']:,} training rows, {any_row['labels']} labels, "
        f"{any_row['unseen_rows']:,} unseen test rows."
    )
    titles = ("head", *COLUMNS.values(), "fit, CPU-s", "CPU-ms a phrase", "MB", f"p to {best}")
    simplest = simplest_head(figures)
    named = f"The simplest head within noise of the best: {simplest or 'none'}."
    return f"{about}\n\n{table(titles, lines)}\n\n{named}"


def cells(row: Measured) -> list[str]:
    """Return the figures of a head as text; a dash where it gives no probability."""
    return [
        *("–" if row[name] is None else f"{row[name]:.4f}" for name in COLUMNS),
        f"{row['fit_cpu_seconds']:.1f}",
        f"{row['phrase_cpu_ms']:.2f}",
        f"{row['bytes'] / 1e6:.2f}",
    ]


def best_head(figures: Mapping[str, Measured]) -> str:
    """Return the head with the most right answers to unseen phrases."""
    return max(figures, key=lambda head: figures[head]["right"].count("1"))


def simplest_head(figures: Mapping[str, Measured]) -> str | None:
    """Return the first of KINDS that McNemar's test does not tell from the best; None: no kind."""
    from benchmarks.heads_contenders import KINDS

    best = figures[best_head(figures)]
    kinds = [kind for kind in KINDS if kind in figures]
    return next((kind for kind in kinds if mcnemar(figures[kind], best) >= NOISE), None)


def mcnemar(row: Measured, other: Measured) -> float:
    """Return the p-value of the exact test of McNemar (1947) on unseen phrases."""
    from scipy.stats import binomtest

    pairs = list(zip(row["right"], other["right"], strict=True))
    only_first = pairs.count(("1", "0"))
    discordant = only_first + pairs.count(("0", "1"))
    return float(binomtest(only_first, discordant).pvalue) if discordant else 1.0


def _p_value(row: Measured, best: Measured) -> str:
    return "best" if row is best else f"{mcnemar(row, best):.3f}"


def bars(name: str, figures: Mapping[str, Measured]) -> list[Bar]:
    """Return the limits of the default head on a set, as far as it was measured."""
    if DEFAULT not in figures:
        return []
    row = figures[DEFAULT]
    title = f"{name}, {DEFAULT}"
    return [
        Bar(f"{title}: MB", row["bytes"] / 1e6, 12),
        Bar(f"{title}: CPU-ms of one phrase", row["phrase_cpu_ms"], 1),
        Bar(f"{title}: calibration error", row["calibration_error"], 0.03),
        Bar(f"{title}: calibration error, unseen", row["unseen_calibration_error"], 0.05),
        *_fit_bars(title, figures),
    ]


def _fit_bars(title: str, figures: Mapping[str, Measured]) -> list[Bar]:
    """Compare with the LinearSVC that comes nearest in quality: that with the greater F1."""
    from benchmarks.heads_contenders import LINEAR_SVCS

    rivals = [figures[head] for head in LINEAR_SVCS if head in figures]
    if not rivals:
        return []
    row = figures[DEFAULT]
    rival = max(rivals, key=lambda figure: figure["unseen_weighted_f1"])
    lead = row["unseen_weighted_f1"] - rival["unseen_weighted_f1"]
    ratio = row["fit_cpu_seconds"] / rival["fit_cpu_seconds"]
    return [
        Bar(f"{title}: unseen weighted F1 above LinearSVC's", lead, -EQUAL_F1, at_least=True),
        Bar(f"{title}: fits, judged and served, by LinearSVC's", ratio, 0.5),
    ]


if __name__ == "__main__":
    main()
