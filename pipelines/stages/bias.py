"""Stage `bias`: measures five kinds of bias on the split and on the answers of its test rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from core.files import write_json
from core.logs import get_logger
from pipelines.bias.measures import (
    Measure,
    evaluation,
    historical,
    measurement,
    representation,
)
from pipelines.bias.regions import aggregation
from pipelines.bias.report import KINDS, bias_report, off_limits
from pipelines.bias.rows import BiasRows, bias_rows
from pipelines.bias.words import beyond
from pipelines.not_measured import NotMeasured, measured
from pipelines.stages.files import SPEC, classifier_folder, read_json, read_rows
from pipelines.stages.vectors import read_vectors


def _aggregation(rows: BiasRows, *, min_rows: int) -> list[Measure]:
    return aggregation(rows, read_vectors, min_rows=min_rows)


MEASURES: Mapping[str, Callable[..., list[Measure]]] = {
    "historical": historical,
    "representation": representation,
    "measurement": measurement,
    "aggregation": _aggregation,
    "evaluation": evaluation,
}


def run(key: str) -> None:
    """Measure the bias of one classifier.

    Reads build/spec/<key>/bias.json, the split, the predictions and build/embeddings; writes
    build/classifiers/<key>/bias/bias.json. What fails is reported as not measured.
    """
    limits = read_json(SPEC / key / "bias.json")
    measures, failed = _measure_kinds(key, min_rows=limits["min_rows"])
    report = bias_report(measures, limits=limits, failed=failed)
    write_json(classifier_folder(key) / "bias" / "bias.json", report)
    for measure in off_limits(report):
        get_logger().warning("bias", classifier=key, beyond=beyond(measure))


def _measure_kinds(key: str, *, min_rows: int) -> tuple[list[Measure], dict[str, str]]:
    """Return the measures, and kind -> why it failed: one kind that fails leaves the others."""
    rows = measured("bias", lambda: _read(key), classifier=key)
    if isinstance(rows, NotMeasured):
        return [], dict.fromkeys(KINDS, rows.reason)
    measures: list[Measure] = []
    failed: dict[str, str] = {}
    for kind, measure in MEASURES.items():
        outcome = measured(
            f"{kind} bias", partial(measure, rows, min_rows=min_rows), classifier=key
        )
        if isinstance(outcome, NotMeasured):
            failed[kind] = outcome.reason
        else:
            measures += outcome
    return measures, failed


def _read(key: str) -> BiasRows:
    folder = classifier_folder(key)
    return bias_rows(
        read_rows(folder / "split" / "labels.parquet"),
        read_rows(folder / "evaluation" / "predictions.parquet"),
    )
