"""The verdict on a repeated training or answer: identical, equivalent or different."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.contracts import Prediction
from pipelines.model.head_file import save_head
from pipelines.provenance import changes, training_environment
from pipelines.reproduction import (
    TOLERANCE,
    Training,
    compare_answers,
    compare_trainings,
    locked_outputs,
    read_repeated,
)
from tests.support.heads import make_head

LOCK = """
schema: '2.0'
stages:
  embed:
    cmd: x
    outs:
    - {path: build/embeddings, md5: e1}
  split@organ:
    cmd: x
    outs:
    - {path: build/classifiers/organ/split, md5: s1}
  train@organ:
    cmd: x
    outs:
    - {path: build/classifiers/organ/model, md5: m1}
  train@course:
    cmd: x
    outs:
    - {path: build/classifiers/course/model, md5: m2}
"""
ROWS = pa.table(
    {
        "id": ["a", "b", "c"],
        "cleaned": ["heart murmur", "old cough", "lung pain"],
        "label": ["heart", "lung", "lung"],
        "predicted": ["heart", "lung", "heart"],
        "probability": [0.9, 0.8, 0.6],
    }
)
RECORD = Training(
    "sha256:1",
    {"evaluation.json": "1", "predictions.parquet": "2"},
    locked_outputs(LOCK, "organ"),
    {"metrics.weighted_f1": 0.9},
    ROWS,
)


def with_column(name: str, values: list[Any]) -> pa.Table:
    return ROWS.set_column(ROWS.column_names.index(name), name, pa.array(values))


def changed(**parts: Any) -> Training:
    return dataclasses.replace(RECORD, **parts)


def test_the_lock_gives_the_shared_outputs_and_the_classifiers_own() -> None:
    assert locked_outputs(LOCK, "organ") == {
        "build/embeddings": "e1",
        "build/classifiers/organ/split": "s1",
        "build/classifiers/organ/model": "m1",
    }


def test_equal_bytes_are_identical() -> None:
    assert compare_trainings(RECORD, RECORD).kind == "identical"


@pytest.mark.parametrize(
    "parts",
    [
        {"digest": "sha256:2"},
        {"files": {"evaluation.json": "1", "predictions.parquet": "3"}},
        {"files": {"evaluation.json": "1"}},
        {"files": {**RECORD.files, "new.json": "1"}},
        {
            "digest": "sha256:2",
            "rows": with_column("probability", [0.9 + 0.9 * TOLERANCE, 0.8, 0.6]),
        },
        {"digest": "sha256:2", "metrics": {"metrics.weighted_f1": 0.9 - 0.9 * TOLERANCE}},
    ],
)
def test_other_bytes_of_the_same_answers_are_equivalent(parts: dict[str, Any]) -> None:
    verdict = compare_trainings(RECORD, changed(**parts))
    assert verdict.kind == "equivalent"
    assert "same label on all 3 test rows" in verdict.reasons[0]
    json.dumps(verdict.evidence, allow_nan=False)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"metrics": {"metrics.weighted_f1": 0.95}}, "weighted_f1 0.9 became 0.95"),
        ({"metrics": {}}, "weighted_f1 0.9 became None"),
        ({"rows": with_column("predicted", ["lung", "lung", "heart"])}, "1 have another label"),
        (
            {"rows": with_column("probability", [0.9, 0.8, 0.61])},
            "1 another probability, by up to 0.01",
        ),
        ({"rows": ROWS.slice(1)}, "3 recorded, 2 repeated; 1 and 0 of their ids"),
        ({"rows": with_column("label", ["lung", "lung", "lung"])}, "other test rows"),
    ],
)
def test_other_answers_are_different_and_say_where(parts: dict[str, Any], reason: str) -> None:
    verdict = compare_trainings(RECORD, changed(digest="sha256:2", **parts))
    assert verdict.kind == "different"
    assert reason in "; ".join(verdict.reasons)
    assert verdict.reasons[0] == "other bytes in head"
    json.dumps(verdict.evidence, allow_nan=False)


def test_a_difference_shows_the_rows_the_files_and_the_outputs_that_moved() -> None:
    outputs = {
        **RECORD.outputs,
        "build/classifiers/organ/split": "s2",
        "build/classifiers/organ/model": "m9",
    }
    repeated = changed(
        digest="sha256:2",
        files={"evaluation.json": "9", "predictions.parquet": "2"},
        outputs=outputs,
        rows=with_column("predicted", ["heart", "heart", "heart"]),
    )
    verdict = compare_trainings(RECORD, repeated)
    moved = "DVC outputs that differ: build/classifiers/organ/split, build/classifiers/organ/model"
    assert verdict.reasons[:2] == ("other bytes in head, evaluation.json", moved)
    [example] = verdict.evidence["rows"]["examples"]
    assert (
        example["cleaned"],
        example["recorded"]["predicted"],
        example["repeated"]["predicted"],
    ) == ("old cough", "lung", "heart")


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_the_verdict_is_the_same_from_both_sides(shares: list[float]) -> None:
    other = changed(digest="sha256:2", rows=with_column("probability", shares))
    verdict = compare_trainings(RECORD, other)
    assert verdict.kind == compare_trainings(other, RECORD).kind
    gap = float(np.abs(np.array([0.9, 0.8, 0.6]) - shares).max())
    assert verdict.evidence["rows"]["largest_difference"] == gap
    assert (verdict.kind == "equivalent") == (gap <= TOLERANCE)


def test_a_workspace_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    built = tmp_path / "build" / "classifiers" / "organ"
    digest = save_head(make_head("1"), built / "model")
    (built / "evaluation").mkdir()
    evaluation = {
        "metrics": {"weighted_f1": 0.5, "rows": 3},
        "labels": {"heart": {"f1": 1.0}},
        "classifier": "organ",
        "confused": [{"rows": 1}],
    }
    (built / "evaluation" / "evaluation.json").write_text(json.dumps(evaluation))
    pq.write_table(ROWS, built / "evaluation" / "predictions.parquet")
    (tmp_path / "dvc.lock").write_text(LOCK)
    training = read_repeated(tmp_path, "organ")
    assert training.digest == digest
    assert training.metrics == {
        "metrics.weighted_f1": 0.5,
        "metrics.rows": 3.0,
        "labels.heart.f1": 1.0,
    }
    assert set(training.files) == {"evaluation.json", "predictions.parquet"}
    assert training.rows.equals(ROWS)


LOGGED = Prediction("heart", 0.7, (("lung", 0.2),))


@pytest.mark.parametrize(
    ("repeated", "kind"),
    [
        ({"heart": 0.7, "lung": 0.2, "bone": 0.1}, "identical"),
        ({"heart": 0.7 + 0.9 * TOLERANCE, "lung": 0.2, "bone": 0.1}, "equivalent"),
        ({"heart": 0.7, "lung": 0.2 - 0.9 * TOLERANCE, "bone": 0.1}, "equivalent"),
        ({"heart": 0.7 + 1.1 * TOLERANCE, "lung": 0.2, "bone": 0.1}, "different"),
        ({"heart": 0.7, "lung": 0.21, "bone": 0.09}, "different"),
        ({"heart": 0.2, "lung": 0.7, "bone": 0.1}, "different"),
        ({"heart": 0.7, "bone": 0.3}, "different"),
    ],
)
def test_an_answer_is_held_against_all_probabilities(repeated: dict[str, float], kind: str) -> None:
    assert compare_answers(LOGGED, repeated).kind == kind


def test_an_answer_with_another_label_names_both() -> None:
    assert compare_answers(LOGGED, {"heart": 0.2, "lung": 0.8}).reasons == (
        "heart was answered, lung is computed",
    )


def test_changes_of_the_training_environment_are_named() -> None:
    now = training_environment()
    assert changes(now, now) == []
    assert changes({**now, "numpy": "1.0"}, now) == [f"numpy 1.0 became {now['numpy']}"]
    assert changes({}, now) == []
