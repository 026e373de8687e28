from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.stages.evaluate import FRESH_DAYS, reference_table
from pipelines.stages.evaluation import evaluate, flat_metrics
from pipelines.stages.files import EMBEDDINGS
from pipelines.stages.near_duplicates import score_near
from pipelines.stages.vectors import store_vectors
from tests.support.training import LAST_DAY

COLUMNS = ("cleaned", "age", "part", "seen", "seen_before")


def recent(*rows: tuple[str, float, str, bool, bool]) -> pa.Table:
    named = [dict(zip(COLUMNS, row, strict=True)) for row in sorted(rows, key=lambda row: -row[1])]
    return pa.table(
        {
            "occurred_at": pa.array(
                [LAST_DAY - timedelta(days=float(str(row["age"]))) for row in named],
                pa.timestamp("us", "UTC"),
            ),
            "region": pa.array([None] * len(named), pa.string()),
            **{
                name: [row[name] for row in named]
                for name in ("cleaned", "part", "seen", "seen_before")
            },
            "label": ["x"] * len(named),
            "predicted": ["x"] * len(named),
            "probability": [0.9] * len(named),
        }
    )


def weights(*rows: tuple[str, float, str, bool, bool]) -> dict[str, list[float]]:
    weights_by_phrase: dict[str, list[float]] = {}
    for row in reference_table(recent(*rows), test_share=0.3).to_pylist():
        weights_by_phrase.setdefault(row["cleaned"], []).append(row["weight"])
    return weights_by_phrase


def test_known_phrases_count_once_whatever_their_part() -> None:
    assert weights(("old", 5, "train", True, True), ("older", 4, "test", True, True)) == {
        "old": [1],
        "older": [1],
    }


def test_held_out_fresh_phrases_stand_for_those_that_trained() -> None:
    weights_by_phrase = weights(
        ("fresh", 2, "test", False, False), ("learnt", 2, "train", True, False)
    )
    assert weights_by_phrase == {"fresh": [pytest.approx(1 / 0.3)]}


def test_a_phrase_stays_fresh_for_some_days() -> None:
    weights_by_phrase = weights(
        ("p", 20, "train", True, False),
        ("p", 20 - FRESH_DAYS + 0.1, "train", True, False),
        ("p", 20 - FRESH_DAYS, "train", True, False),
    )
    assert weights_by_phrase == {"p": [1]}


def test_rows_of_left_out_labels_count_once() -> None:
    assert weights(("rare", 1, "left out", False, False)) == {"rare": [1]}


def test_an_evaluation_names_labels_and_unseen_rows() -> None:
    rows = recent(("a", 1, "test", True, True), ("b", 2, "test", False, False))
    rows = rows.set_column(rows.column_names.index("predicted"), "predicted", pa.array(["x", "y"]))
    evaluation = evaluate("organ", rows)
    assert (
        evaluation["rows"],
        evaluation["metrics"]["accuracy"],
        evaluation["unseen_metrics"]["accuracy"],
    ) == (
        2,
        0.5,
        1.0,
    )
    assert (evaluation["recall_by_label"], evaluation["support_by_label"]) == ({"x": 0.5}, {"x": 2})
    assert evaluation["confused"] == [{"label": "x", "predicted": "y", "rows": 1}]


def test_unseen_phrases_near_training_phrases_are_scored_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    vectors = np.array([[1, 0], [0.99, 0.1], [0, 1]], np.float32)
    store_vectors(EMBEDDINGS, ["known", "known too", "other"], vectors, "words")
    rows = recent(
        ("known", 1, "test", True, True),
        ("known too", 2, "test", False, False),
        ("other", 3, "test", False, False),
    )
    pairs = pa.table({"cleaned": ["known", "other"], "rows": [3, 0]})
    scores = score_near(rows, pairs)
    assert (scores["unseen_near_metrics"]["rows"], scores["unseen_far_metrics"]["rows"]) == (1, 1)
    flat = flat_metrics({"metrics": {}, **scores})
    assert (flat["unseen_near_accuracy"], flat["unseen_far_accuracy"]) == (1.0, 1.0)
    seen = rows.filter(rows["seen"])
    assert score_near(seen, pairs) == {"unseen_near_metrics": {}, "unseen_far_metrics": {}}
