"""Measures what self-training gains: a head beside the same head taught its own sure answers.

    python -m benchmarks.self_training [--file PHRASES.csv] [--heads logistic] [--quick]

The sets: `commands`, a CSV of columns part (train or test), phrase and label, and `blocks`, terms
of ICD-10-CM. Both are cut to 20 rows per label; the other training phrases lose their label.
`demo` is the split of `block` under build/ (needs `make data` and `dvc repro`) with the traffic
after its snapshot, which nobody has labelled yet. `--repeats` cuts a set anew with other seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Result, options, present, progress, table, timed
from pipelines.__main__ import pin_arithmetic

if TYPE_CHECKING:
    from benchmarks.self_training_sets import UnlabelledSet
    from pipelines.model.head_file import Head
    from pipelines.model.training import TrainingRows

PACKAGES = ("numpy", "scipy", "scikit-learn")
SETS = ("commands", "blocks", "demo")
HEADS = ("hybrid_svm", "logistic")
BOUNDS = ("gain_low", "gain_high")
COLUMNS = (
    "set",
    "labelled",
    "unlabelled",
    "joined",
    "right of these",
    "accuracy without",
    "points gained",
    "95 % interval",
    "calibration error",
    "with",
    "fit, CPU-s",
    "with",
)


def sets(arguments: argparse.Namespace) -> Iterator[UnlabelledSet]:
    """Yield the sets that were asked for, each `repeats` times."""
    from benchmarks.self_training_sets import cut_set, demo_set

    for seed in range(arguments.seed, arguments.seed + arguments.repeats):
        if "commands" in arguments.sets and arguments.file:
            yield cut_set("commands-20", file=arguments.file, seed=seed, quick=arguments.quick)
        if "blocks" in arguments.sets:
            yield cut_set("blocks-20", file=None, seed=seed, quick=arguments.quick)
    if "demo" in arguments.sets:
        yield demo_set("block", days=arguments.days, seed=arguments.seed)


def measure(given: UnlabelledSet, kind: str, *, spec: dict[str, Any], seed: int) -> dict[str, Any]:
    """Fit without and with the unlabelled phrases; return what joined, the gain and the cost."""
    import numpy as np
    from pydantic import TypeAdapter

    from core.params.heads import Head as HeadParams
    from pipelines.model.heads import head_fits
    from pipelines.model.self_training import ON
    from pipelines.stages.self_training import choose_joining, fit_self_trained, join_rows

    params: HeadParams = TypeAdapter(HeadParams).validate_python({"kind": kind})
    fits = partial(head_fits, params, embedder_id="bench", seed=seed)
    with timed() as plain_time:
        judged, _ = fits(given.rows)
    with timed() as taught_time:
        heads, report = fit_self_trained(
            given.rows, given.unlabelled, spec, fits=fits, embed=lambda _: given.vectors
        )
    part = given.rows.without_test()
    joining = choose_joining(judged, part, given.unlabelled, given.vectors, spec)
    right = joining.labels[joining.chosen] == given.truth[joining.chosen]
    taught = heads.judged
    if report["state"] != ON:
        rows = join_rows(
            given.rows, joining, given.unlabelled, given.vectors, weight=spec["weight"]
        )
        taught = next(fits(rows))
    test = given.rows.tested()
    return {
        **report,
        "labelled": len(part.labels),
        "right": float(right.mean()) if len(right) else float(np.nan),
        "calibration_error": _calibration_error(judged, test),
        "calibration_error_with": _calibration_error(taught, test),
        "fit_cpu_seconds": round(plain_time.cpu, 1),
        "fit_cpu_seconds_with": round(taught_time.cpu, 1),
    }


def _calibration_error(head: Head, test: TrainingRows) -> float:
    import numpy as np

    from benchmarks.imbalance import calibration
    from pipelines.stages.self_training import answer_phrases

    answers = answer_phrases(head, test.cleaned.tolist(), test.vectors)
    right = np.array(head.labels, dtype=str)[answers.codes] == test.labels
    return calibration(answers.confidence, right, test.weights)


def _row(figures: dict[str, Any]) -> tuple[str, ...]:
    measured = "gain" in figures
    gain = f"{100 * figures['gain']:+.2f}" if measured else figures["state"]
    low, high = (f"{100 * figures[name]:+.2f}" if measured else "" for name in BOUNDS)
    return (
        figures["set"],
        f"{figures['labelled']:,}",
        f"{figures['phrases']:,}",
        f"{figures['joined']:,}",
        f"{figures['right']:.3f}",
        f"{figures['accuracy_without']:.4f}" if measured else "",
        gain,
        f"{low} to {high}",
        f"{figures['calibration_error']:.4f}",
        f"{figures['calibration_error_with']:.4f}",
        f"{figures['fit_cpu_seconds']:.1f}",
        f"{figures['fit_cpu_seconds_with']:.1f}",
    )


def main() -> None:
    """Print one table per head."""
    parser = options("Measure what a head gains by its own sure answers to unlabelled phrases.")
    parser.add_argument("--file", type=Path, help="CSV of the set `commands`; without it, left out")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS, help="of all sets")
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=HEADS, help="of both heads")
    parser.add_argument("--repeats", type=int, default=3, help="cuts of each set (default 3)")
    parser.add_argument("--days", type=int, default=30, help="traffic of the demo (default 30)")
    parser.set_defaults(seed=7)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.sets = ["blocks"]
        arguments.repeats = 1
    pin_arithmetic()  # before numpy is imported, as in a stage
    from core.params.self_training import SelfTrainingParams

    spec = {**SelfTrainingParams().model_dump(), "abstain": {}}
    figures: dict[str, list[dict[str, Any]]] = {head: [] for head in arguments.heads}
    for given in sets(arguments):
        for head in arguments.heads:
            progress(f"{given.name}: {head}")
            measured = measure(given, head, spec=spec, seed=given.seed)
            figures[head].append({"set": given.name, **measured})
    tables = [f"### {head}\n\n{table(COLUMNS, map(_row, rows))}" for head, rows in figures.items()]
    result = Result(figures={"heads": figures}, tables=tables, input=f"settings {spec}")
    present(result, title="Self-training", packages=PACKAGES, arguments=arguments)


if __name__ == "__main__":
    main()
