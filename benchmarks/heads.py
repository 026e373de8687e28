"""Every kind of head with its defaults, trained and tested on the snapshot under build/: quality, size, CPU-seconds of the fit.

`python -m benchmarks.heads [--classifier block] [--quick]`, after `make data` and `dvc repro`.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Result, options, present, table, tell, timed
from pipelines.__main__ import pin_arithmetic

if TYPE_CHECKING:
    from pipelines.model.training import TrainingRows

KINDS = ("hybrid_svm", "tfidf_svm", "mlp", "logistic", "majority")
PACKAGES = ("numpy", "scipy", "scikit-learn", "tensorflow", "keras")


def main() -> None:
    """Print the table."""
    parser = options("how good, how large and how dear every kind of head is")
    parser.add_argument(
        "--classifier",
        default="block",
        help="a classifier whose split lies under build/ (default block)",
    )
    parser.set_defaults(seed=7)  # that of params.yaml
    arguments = parser.parse_args()
    pin_arithmetic()  # before numpy is imported: as in a stage
    result = measure(arguments.classifier, quick=arguments.quick, seed=arguments.seed)
    present(result, title="Heads", packages=PACKAGES, arguments=arguments)


def measure(key: str, *, quick: bool, seed: int) -> Result:
    """Fit and score each kind once; `--quick` on every tenth training row."""
    from pipelines.model.mlp_head import import_keras
    from pipelines.stages.compare import COLUMNS, cells, score_head
    from pipelines.stages.evaluation import tested_rows
    from pipelines.stages.train import training_rows

    rows, tested, found = training_rows(key), tested_rows(key), {}
    rows = _every_tenth(rows) if quick else rows
    import_keras()  # its seconds are not those of a fit
    for kind in KINDS:
        tell(kind)
        with timed() as timing:
            head = _fit(kind, rows, seed=seed)
        found[kind] = {**score_head(key, head, tested), "fit_cpu_seconds": round(timing.cpu, 1)}
    lines = [
        (kind, *cells(scores), f"{scores['fit_cpu_seconds']:.1f}") for kind, scores in found.items()
    ]
    shown = table(("head", *COLUMNS.values(), "MB", "fit, CPU-s"), lines)
    labels = len(set(rows.labels.tolist()))
    said = f"{key}, {len(rows.labels):,} distinct (phrase, label), {labels} labels, {tested.num_rows:,} test rows"
    return Result(figures={"heads": found}, tables=[shown], input=said)


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
