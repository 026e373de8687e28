"""Stage `bias`: measures five kinds of bias on the split and on the answers of its test rows."""

from __future__ import annotations

from core.files import write_json
from core.logs import get_logger
from pipelines.bias.measures import measure_all
from pipelines.bias.regions import aggregation
from pipelines.bias.report import bias_report, off_limits
from pipelines.bias.rows import bias_rows
from pipelines.bias.words import beyond
from pipelines.stages.files import SPEC, classifier_folder, read_json, read_rows
from pipelines.stages.vectors import read_vectors


def run(key: str) -> None:
    """Measure the bias of one classifier.

    Reads build/spec/<key>/bias.json, the split, the predictions and build/embeddings; writes
    build/classifiers/<key>/bias/bias.json.
    """
    limits = read_json(SPEC / key / "bias.json")
    folder = classifier_folder(key)
    rows = bias_rows(
        read_rows(folder / "split" / "labels.parquet"),
        read_rows(folder / "evaluation" / "predictions.parquet"),
    )
    least = limits["min_rows"]
    measures = [
        *measure_all(rows, min_rows=least),
        *aggregation(rows, read_vectors, min_rows=least),
    ]
    report = bias_report(measures, limits=limits)
    write_json(folder / "bias" / "bias.json", report)
    for measure in off_limits(report):
        get_logger().warning("bias", classifier=key, beyond=beyond(measure))
