"""Compares every kind of head with its defaults: quality, size and CPU seconds of the fit.

    python -m benchmarks.heads [--classifier block] [--quick]

Trains and tests on the snapshot under build/. Needs `make data` and `dvc repro`.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Result, options, present, progress, table, timed
from pipelines.__main__ import pin_arithmetic

if TYPE_CHECKING:
    from pipelines.model.training import TrainingRows

KINDS = ("hybrid_svm", "tfidf_svm", "mlp", "logistic", "majority")
PACKAGES = ("numpy", "scipy", "scikit-learn", "tensorflow", "keras")


def main() -> None:
    """Print the table."""
    parser = options("Compare quality, size and cost of every kind of head.")
    parser.add_argument(
        "--classifier",
        default="block",
        help="a classifier with a split under build/ (default block)",
    )
    parser.set_defaults(seed=7)  # the seed of params.yaml
    arguments = parser.parse_args()
    pin_arithmetic()  # before numpy is imported, as in a stage
    result = measure(arguments.classifier, quick=arguments.quick, seed=arguments.seed)
    present(result, title="Heads", packages=PACKAGES, arguments=arguments)


def measure(key: str, *, quick: bool, seed: int) -> Result:
    """Fit and score each kind once; with `quick`, on every tenth training row."""
    from pipelines.model.mlp_head import import_keras
    from pipelines.stages.compare import COLUMNS, cells, score_head
    from pipelines.stages.evaluation import tested_rows
    from pipelines.stages.files import classifier_folder, read_rows
    from pipelines.stages.memories import training_memory
    from pipelines.stages.train import training_rows

    rows = training_rows(key)
    if quick:
        rows = _every_tenth(rows)
    tested = tested_rows(key)
    labels = read_rows(classifier_folder(key) / "split" / "labels.parquet")
    memory = training_memory(labels, classifier=key)
    scores_by_kind = {}
    import_keras()  # the import is not part of a fit
    for kind in KINDS:
        progress(kind)
        with timed() as timing:
            head = _fit(kind, rows, seed=seed)
        scores = score_head(key, head, tested, memory)
        scores_by_kind[kind] = {**scores, "fit_cpu_seconds": round(timing.cpu, 1)}

    lines = [
        (kind, *cells(scores), f"{scores['fit_cpu_seconds']:.1f}")
        for kind, scores in scores_by_kind.items()
    ]
    head_table = table(("head", *COLUMNS.values(), "MB", "fit, CPU-s"), lines)
    labels = len(set(rows.labels.tolist()))
    training = f"{len(rows.labels):,} distinct (phrase, label), {labels} labels"
    about = f"{key}, {training}, {tested.num_rows:,} test rows"
    return Result(figures={"heads": scores_by_kind}, tables=[head_table], input=about)


def _fit(kind: str, rows: TrainingRows, *, seed: int) -> Any:
    from pydantic import TypeAdapter

    from core.head_params import Head as HeadParams
    from pipelines.model.heads import fit_head

    params: HeadParams = TypeAdapter(HeadParams).validate_python(kind)
    return fit_head(params, training=rows, embedder_id="benchmark", seed=seed)


def _every_tenth(rows: TrainingRows) -> TrainingRows:
    return replace(rows, **{field.name: getattr(rows, field.name)[::10] for field in fields(rows)})


if __name__ == "__main__":
    main()
