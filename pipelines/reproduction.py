"""Is a repeated training, or a repeated answer, the same as the recorded one? Pure: two records to a Verdict."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from core.contracts import Prediction, Verdict
from pipelines.model.head_file import head_digest

TOLERANCE = 1e-5
"""Of a probability or a metric. Vectors differ by up to 2e-7 with the batch they are computed in, more with another CPU's kernels."""
MAX_EXAMPLES = 5


@dataclass(frozen=True)
class Training:
    """What a training left behind.

    `files`: name in the evaluation folder -> sha256. `outputs`: what DVC tracks, path -> md5.
    `metrics`: dotted name in evaluation.json -> value. `rows`: predictions.parquet, in the order of the file.
    """

    digest: str
    files: Mapping[str, str]
    outputs: Mapping[str, str]
    metrics: Mapping[str, float]
    rows: pa.Table


def read_training(*, digest: str, evaluation: Path, lock: str, classifier: str) -> Training:
    """Describe a training by its head's digest, its evaluation folder and the text of its dvc.lock."""
    files = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(evaluation.iterdir())
    }
    metrics = dict(
        _numbers(json.loads((evaluation / "evaluation.json").read_text(encoding="utf-8")))
    )
    return Training(
        digest,
        files,
        locked_outputs(lock, classifier),
        metrics,
        pq.read_table(evaluation / "predictions.parquet"),
    )


def read_repeated(folder: Path, classifier: str) -> Training:
    """The same of a workspace in which the stages have just run."""
    built = folder / "build" / "classifiers" / classifier
    lock = (folder / "dvc.lock").read_text(encoding="utf-8")
    return read_training(
        digest=head_digest(built / "model"),
        evaluation=built / "evaluation",
        lock=lock,
        classifier=classifier,
    )


def locked_outputs(lock: str, classifier: str) -> dict[str, str]:
    """Output path -> md5 of the stages that the classifier rests on: the shared ones and its own."""
    stages: Mapping[str, Any] = yaml.safe_load(lock)["stages"]
    mine = [stage for name, stage in stages.items() if name.partition("@")[2] in ("", classifier)]
    return {out["path"]: out["md5"] for stage in mine for out in stage.get("outs", ())}


def compare_trainings(recorded: Training, repeated: Training) -> Verdict:
    """Return "identical" (head and evaluation files, byte for byte), "equivalent" or "different".

    Equivalent: the same label for every test row, its probability and every metric within `TOLERANCE`.
    """
    evidence: dict[str, Any] = {
        "tolerance": TOLERANCE,
        "head_digest": {"recorded": recorded.digest, "repeated": repeated.digest},
        "files_that_differ": _differing(recorded.files, repeated.files),
        "outputs_that_differ": _differing(recorded.outputs, repeated.outputs),
        "metrics_that_differ": _moved_metrics(recorded.metrics, repeated.metrics),
        "rows": _compare_rows(recorded.rows, repeated.rows),
    }
    if recorded.digest == repeated.digest and not evidence["files_that_differ"]:
        return Verdict(
            "identical",
            (f"the head and {len(recorded.files)} evaluation files are equal, byte for byte",),
            evidence,
        )
    reasons = (*_metric_reasons(evidence["metrics_that_differ"]), *_row_reasons(evidence["rows"]))
    if reasons:
        return Verdict("different", (*_file_reasons(evidence), *reasons), evidence)
    return Verdict(
        "equivalent", (_equivalence(evidence["rows"]), *_file_reasons(evidence)), evidence
    )


def compare_answers(logged: Prediction, repeated: Mapping[str, float]) -> Verdict:
    """Hold a logged answer against the probabilities of all labels, computed again.

    "identical": every logged probability is the same float; "equivalent": the same label, each within `TOLERANCE`.
    """
    said = dict([(logged.label, logged.probability), *logged.alternatives])
    best = max(repeated, key=lambda label: repeated[label])
    largest = max(abs(share - repeated.get(label, 0.0)) for label, share in said.items())
    evidence = {"tolerance": TOLERANCE, "largest_difference": largest}
    if best != logged.label:
        return Verdict("different", (f"{logged.label} was answered, {best} is computed",), evidence)
    if not largest <= TOLERANCE:
        return Verdict(
            "different", (f"the same label, probabilities apart by up to {largest:.2g}",), evidence
        )
    if largest == 0:
        return Verdict(
            "identical", ("the same label, every probability the same number",), evidence
        )
    return Verdict(
        "equivalent", (f"the same label, probabilities apart by at most {largest:.2g}",), evidence
    )


def _numbers(value: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, float]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _numbers(inner, f"{path}{key}.")
        elif isinstance(inner, int | float):
            yield f"{path}{key}", float(inner)


def _differing(recorded: Mapping[str, str], repeated: Mapping[str, str]) -> list[str]:
    return [
        name
        for name in dict.fromkeys([*recorded, *repeated])
        if recorded.get(name) != repeated.get(name)
    ]


def _moved_metrics(
    recorded: Mapping[str, float], repeated: Mapping[str, float]
) -> dict[str, dict[str, float | None]]:
    """Metrics further apart than `TOLERANCE`, or on one side only; the largest gap first."""
    missing = float("inf")
    gaps = {
        name: abs(recorded.get(name, missing) - repeated.get(name, -missing))
        for name in {*recorded, *repeated}
    }
    moved = sorted(
        (name for name, gap in gaps.items() if not gap <= TOLERANCE),
        key=lambda name: (-gaps[name], name),
    )
    return {
        name: {"recorded": recorded.get(name), "repeated": repeated.get(name)} for name in moved
    }


def _compare_rows(recorded: pa.Table, repeated: pa.Table) -> dict[str, Any]:
    """Row by row when both tested the same rows; which rows are on one side only otherwise."""
    keys = ("id", "cleaned", "label")
    if not recorded.select(keys).equals(repeated.select(keys)):
        here, there = (set(table["id"].to_pylist()) for table in (recorded, repeated))
        counts = {"recorded": len(recorded), "repeated": len(repeated)}
        return {**counts, "only_recorded": len(here - there), "only_repeated": len(there - here)}
    gaps = np.abs(recorded["probability"].to_numpy() - repeated["probability"].to_numpy())
    answers, others = (
        np.array(table["predicted"].to_pylist(), dtype=object) for table in (recorded, repeated)
    )
    relabelled = answers != others
    worst = np.argsort(-(gaps + relabelled), kind="stable")[:MAX_EXAMPLES]
    beyond = [int(row) for row in worst if relabelled[row] or not gaps[row] <= TOLERANCE]
    return {
        "recorded": len(recorded),
        "repeated": len(repeated),
        "other_label": int(relabelled.sum()),
        "beyond_tolerance": int((~(gaps <= TOLERANCE)).sum()),
        "largest_difference": float(gaps.max(initial=0.0)),
        "examples": [_example(recorded, repeated, row) for row in beyond],
    }


def _example(recorded: pa.Table, repeated: pa.Table, row: int) -> dict[str, Any]:
    first, second = (table.slice(row, 1).to_pylist()[0] for table in (recorded, repeated))
    answers = {
        name: {key: one[key] for key in ("predicted", "probability")}
        for name, one in (("recorded", first), ("repeated", second))
    }
    return {"id": first["id"], "cleaned": first["cleaned"], "label": first["label"], **answers}


def _file_reasons(evidence: Mapping[str, Any]) -> tuple[str, ...]:
    digest = evidence["head_digest"]
    head = ["head"] if digest["recorded"] != digest["repeated"] else []
    told = [f"other bytes in {', '.join([*head, *evidence['files_that_differ']])}"]
    if evidence["outputs_that_differ"]:
        told.append(f"what DVC tracks and differs: {', '.join(evidence['outputs_that_differ'])}")
    return tuple(told)


def _metric_reasons(moved: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    shown = [
        f"{name} {values['recorded']} became {values['repeated']}"
        for name, values in list(moved.items())[:MAX_EXAMPLES]
    ]
    return [f"{len(moved)} metrics differ: {'; '.join(shown)}"] if moved else []


def _row_reasons(rows: Mapping[str, Any]) -> list[str]:
    if "other_label" not in rows:
        told = f"other test rows: {rows['recorded']} recorded, {rows['repeated']} repeated"
        return [
            f"{told}; {rows['only_recorded']} and {rows['only_repeated']} of their ids on one side only"
        ]
    if not rows["other_label"] and not rows["beyond_tolerance"]:
        return []
    told = f"of {rows['recorded']} test rows {rows['other_label']} have another label and {rows['beyond_tolerance']} another probability"
    return [f"{told}, by up to {rows['largest_difference']:.2g}"]


def _equivalence(rows: Mapping[str, Any]) -> str:
    return f"the same label on all {rows['recorded']} test rows, probabilities apart by at most {rows['largest_difference']:.2g}"
