"""Stage `errors`: the error report of the judged head, as JSON and as a page readable offline."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter

from core.logs import get_logger
from core.params.heads import Favour
from core.params.heads import Head as HeadParams
from pipelines.errors.files import write_report
from pipelines.errors.gap import judged_parts, measure_gap, parts_of
from pipelines.errors.refits import Refits, fit_parts
from pipelines.errors.report import Measured, build_report, missing_report
from pipelines.errors.rows import answered_rows
from pipelines.model.head_file import judged_folder, load_head
from pipelines.model.training import TrainingRows
from pipelines.not_measured import NotMeasured, measured
from pipelines.stages.files import EMBEDDINGS, SPEC, classifier_folder, read_json, read_rows
from pipelines.stages.training_pairs import training_rows


def run(key: str) -> None:
    """Report the mistakes of one classifier.

    Reads the split, the judged head, the evaluation's predictions and build/embeddings; writes
    build/classifiers/<key>/errors/. A gap beyond its limit turns the page red and stops nothing.
    New phrases are answered by heads alone, without rules. What fails is reported as not measured.
    """
    outcome = measured("errors", lambda: _report_mistakes(key), classifier=key)
    if isinstance(outcome, NotMeasured):
        write_report(classifier_folder(key) / "errors", missing_report(key, outcome))


def _report_mistakes(key: str) -> None:
    folder = classifier_folder(key)
    params, seed, favour = head_recipe(key)
    embedder_id = read_json(EMBEDDINGS / "embedder.json")["embedder_id"]
    training = training_rows(key)
    recent = read_rows(folder / "split" / "recent.parquet")
    refits = measured(
        "learning curve",
        lambda: fit_parts(params, training, embedder_id=embedder_id, seed=seed, favour=favour),
        classifier=key,
    )
    facts = Measured(
        rows=answered_rows(
            read_rows(folder / "evaluation" / "predictions.parquet"),
            recent,
            read_rows(folder / "split" / "labels.parquet", columns=["id", "from_source"]),
        ),
        training=training,
        refits=refits,
        gap=_gap(key, params, training, refits),
        params=params,
        trained=_trained(training),
        traffic=_counted(recent),
        seed=seed,
    )
    report = build_report(key, facts)
    write_report(folder / "errors", report)
    get_logger().info(
        "errors",
        classifier=key,
        mistakes=report["mistakes"],
        patterns=len(report["patterns"]["found"]),
        gap_exceeded=report["gap"]["exceeded"],
    )


def head_recipe(key: str) -> tuple[HeadParams, int, Favour]:
    """Return the block's head, its seed and what it favours; the rules after it are left out."""
    spec = read_json(SPEC / key / "head.json")
    seed = spec.pop("seed")
    favour = spec.pop("favour", "weighted")
    for beside in ("rules", "line"):
        spec.pop(beside, None)
    params: HeadParams = TypeAdapter(HeadParams).validate_python(spec)
    return params, seed, favour


def _gap(
    key: str, params: HeadParams, training: TrainingRows, refits: Refits | NotMeasured
) -> dict[str, Any]:
    """Measure the gap of the block's own kind of head, by the largest refit where there is one."""
    limit = read_json(SPEC / key / "errors.json")["max_gap"]
    if isinstance(refits, Refits) and refits.kind == params.kind:
        return {**measure_gap(parts_of(refits), limit=limit), "share": round(refits.share, 4)}
    judged = load_head(judged_folder(classifier_folder(key) / "model"))
    judged = replace(judged, rules=())
    return {**measure_gap(judged_parts(judged, training), limit=limit), "share": 1.0}


def _trained(training: TrainingRows) -> Counter[str]:
    counts: Counter[str] = Counter()
    for label, rows in zip(training.labels.tolist(), training.weights.tolist(), strict=True):
        counts[str(label)] += int(rows)
    return counts


def _counted(recent: pa.Table) -> Counter[str]:
    return Counter(recent["label"].to_pylist())
