"""Compares a repeated training or answer with the recorded one: pure, two records to a Verdict."""

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
from pipelines.model.head_file import JUDGED, head_digest

TOLERANCE = 1e-5
"""Largest difference of a probability or a metric that counts as equal.

Vectors differ by up to 2e-7 with the batch they are computed in, and by more on another CPU.
"""
MAX_EXAMPLES = 5


@dataclass(frozen=True)
class Training:
    """The results of a training.

    Attributes
    ----------
    digest : str
        Digest of the served head.
    files : mapping
        Name in the evaluation folder -> SHA-256.
    outputs : mapping
        Path of an output that DVC tracks -> MD5.
    metrics : mapping
        Dotted name in evaluation.json -> value.
    rows : pa.Table
        predictions.parquet, in the order of the file.
    judged_digest : str
        Digest of the judged head; "" where one head was both.
    """

    digest: str
    files: Mapping[str, str]
    outputs: Mapping[str, str]
    metrics: Mapping[str, float]
    rows: pa.Table
    judged_digest: str = ""


def read_training(
    *, digest: str, judged_digest: str, evaluation: Path, lock: str, classifier: str
) -> Training:
    """Read a training from the digests of its heads, its evaluation folder and its dvc.lock."""
    files = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(evaluation.iterdir())
    }
    scores = json.loads((evaluation / "evaluation.json").read_text(encoding="utf-8"))
    return Training(
        digest=digest,
        files=files,
        outputs=locked_outputs(lock, classifier),
        metrics=dict(_numbers(scores)),
        rows=pq.read_table(evaluation / "predictions.parquet"),
        judged_digest=judged_digest,
    )


def read_repeated(folder: Path, classifier: str) -> Training:
    """Read the training of a workspace in which the stages have just run."""
    built = folder / "build" / "classifiers" / classifier
    lock = (folder / "dvc.lock").read_text(encoding="utf-8")
    judged = (built / "model" / JUDGED).is_dir()
    return read_training(
        digest=head_digest(built / "model"),
        judged_digest=head_digest(built / "model" / JUDGED) if judged else "",
        evaluation=built / "evaluation",
        lock=lock,
        classifier=classifier,
    )


def locked_outputs(lock: str, classifier: str) -> dict[str, str]:
    """Return output path -> MD5 of the shared stages and of those of the classifier."""
    stages: Mapping[str, Any] = yaml.safe_load(lock)["stages"]
    outputs: dict[str, str] = {}
    for name, stage in stages.items():
        if name.partition("@")[2] in ("", classifier):
            outputs |= {output["path"]: output["md5"] for output in stage.get("outs", ())}
    return outputs


def compare_trainings(recorded: Training, repeated: Training) -> Verdict:
    """Return the Verdict "identical", "equivalent" or "different".

    Identical: the head and the evaluation files are equal, byte for byte. Equivalent: every test
    row has the same label, and every probability and metric differs by at most `TOLERANCE`.
    """
    evidence: dict[str, Any] = {
        "tolerance": TOLERANCE,
        "head_digest": {"recorded": recorded.digest, "repeated": repeated.digest},
        "judged_digest": {"recorded": recorded.judged_digest, "repeated": repeated.judged_digest},
        "files_that_differ": _differing(recorded.files, repeated.files),
        "outputs_that_differ": _differing(recorded.outputs, repeated.outputs),
        "metrics_that_differ": _moved_metrics(recorded.metrics, repeated.metrics),
        "rows": _compare_rows(recorded.rows, repeated.rows),
    }
    same_heads = (recorded.digest, recorded.judged_digest) == (
        repeated.digest,
        repeated.judged_digest,
    )
    if same_heads and not evidence["files_that_differ"]:
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
    """Compare a logged answer with the probabilities of all labels, computed again.

    Returns the Verdict "identical" when every logged probability is the same float, "equivalent"
    when the label is the same and each probability is within `TOLERANCE`, else "different".
    """
    probabilities = dict([(logged.label, logged.probability), *logged.alternatives])
    best = max(repeated, key=lambda label: repeated[label])
    largest = max(abs(value - repeated.get(label, 0.0)) for label, value in probabilities.items())
    evidence = {"tolerance": TOLERANCE, "largest_difference": largest}

    if best != logged.label:
        kind = "different"
        reason = f"{logged.label} was answered, {best} is computed"
    elif not largest <= TOLERANCE:  # also for a number that is not finite
        kind = "different"
        reason = f"the same label, probabilities apart by up to {largest:.2g}"
    elif largest == 0:
        kind = "identical"
        reason = "the same label, every probability the same number"
    else:
        kind = "equivalent"
        reason = f"the same label, probabilities apart by at most {largest:.2g}"
    return Verdict(kind, (reason,), evidence)


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
    """Return the metrics that differ by more than `TOLERANCE`, the largest difference first.

    A metric of one side only counts as infinitely different.
    """
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
    """Compare row by row; when the test rows differ, count the ids of one side only."""
    keys = ("id", "cleaned", "label")
    counts = {"recorded": len(recorded), "repeated": len(repeated)}
    if not recorded.select(keys).equals(repeated.select(keys)):
        recorded_ids = set(recorded["id"].to_pylist())
        repeated_ids = set(repeated["id"].to_pylist())
        return {
            **counts,
            "only_recorded": len(recorded_ids - repeated_ids),
            "only_repeated": len(repeated_ids - recorded_ids),
        }

    gaps = np.abs(recorded["probability"].to_numpy() - repeated["probability"].to_numpy())
    relabelled = _labels(recorded) != _labels(repeated)
    worst = np.argsort(-(gaps + relabelled), kind="stable")[:MAX_EXAMPLES]
    beyond = [int(row) for row in worst if relabelled[row] or not gaps[row] <= TOLERANCE]
    return {
        **counts,
        "other_label": int(relabelled.sum()),
        "beyond_tolerance": int((~(gaps <= TOLERANCE)).sum()),
        "largest_difference": float(gaps.max(initial=0.0)),
        "examples": [_example(recorded, repeated, row) for row in beyond],
    }


def _labels(table: pa.Table) -> np.ndarray:
    return np.array(table["predicted"].to_pylist(), dtype=object)


def _example(recorded: pa.Table, repeated: pa.Table, row: int) -> dict[str, Any]:
    before = recorded.slice(row, 1).to_pylist()[0]
    after = repeated.slice(row, 1).to_pylist()[0]
    return {
        "id": before["id"],
        "cleaned": before["cleaned"],
        "label": before["label"],
        "recorded": {key: before[key] for key in ("predicted", "probability")},
        "repeated": {key: after[key] for key in ("predicted", "probability")},
    }


def _file_reasons(evidence: Mapping[str, Any]) -> tuple[str, ...]:
    digest = evidence["head_digest"]
    head = ["head"] if digest["recorded"] != digest["repeated"] else []
    reasons = [f"other bytes in {', '.join([*head, *evidence['files_that_differ']])}"]
    if evidence["outputs_that_differ"]:
        outputs = ", ".join(evidence["outputs_that_differ"])
        reasons.append(f"DVC outputs that differ: {outputs}")
    return tuple(reasons)


def _metric_reasons(moved: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    shown = [
        f"{name} {values['recorded']} became {values['repeated']}"
        for name, values in list(moved.items())[:MAX_EXAMPLES]
    ]
    return [f"{len(moved)} metrics differ: {'; '.join(shown)}"] if moved else []


def _row_reasons(rows: Mapping[str, Any]) -> list[str]:
    if "other_label" not in rows:
        return [
            f"other test rows: {rows['recorded']} recorded, {rows['repeated']} repeated; "
            f"{rows['only_recorded']} and {rows['only_repeated']} of their ids on one side only"
        ]
    if not rows["other_label"] and not rows["beyond_tolerance"]:
        return []
    return [
        f"of {rows['recorded']} test rows {rows['other_label']} have another label "
        f"and {rows['beyond_tolerance']} another probability, "
        f"by up to {rows['largest_difference']:.2g}"
    ]


def _equivalence(rows: Mapping[str, Any]) -> str:
    return (
        f"the same label on all {rows['recorded']} test rows, "
        f"probabilities apart by at most {rows['largest_difference']:.2g}"
    )
