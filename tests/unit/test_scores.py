from __future__ import annotations

import numpy as np
import pytest

from pipelines.stages.scores import (
    ScoredAnswers,
    calibration_error,
    confused_pairs,
    reliability,
    score,
    score_labels,
)


def answers(truth: str, predicted: str, probability: float | list[float] = 0.9) -> ScoredAnswers:
    return ScoredAnswers(
        np.array(list(truth)),
        np.array(list(predicted)),
        np.broadcast_to(np.array(probability, float), len(truth)),
    )


def test_scores_by_hand() -> None:
    scores = score(answers("aaab", "aabb"))
    assert scores == {
        "weighted_f1": pytest.approx((3 * 0.8 + 2 / 3) / 4, abs=1e-6),
        "macro_f1": pytest.approx((0.8 + 2 / 3) / 2, abs=1e-6),
        "accuracy": 0.75,
        "calibration_error": pytest.approx(0.15),
        "rows": 4,
    }
    assert next(iter(scores)) == "weighted_f1"


def test_no_row_no_score() -> None:
    assert score(answers("", "")) == {}


def test_labels_of_the_test_rows_have_scores() -> None:
    labels = score_labels(answers("aab", "acb"))
    assert set(labels) == {"a", "b"}
    assert labels["a"] == {
        "precision": 1.0,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3, abs=1e-6),
        "support": 2,
    }


def test_confused_pairs_are_errors_most_frequent_first() -> None:
    assert confused_pairs(answers("aaabbc", "abbaac"), top=5) == [
        {"label": "a", "predicted": "b", "rows": 2},
        {"label": "b", "predicted": "a", "rows": 2},
    ]
    assert confused_pairs(answers("ab", "ba"), top=1) == [
        {"label": "a", "predicted": "b", "rows": 1}
    ]


def test_calibration_error_is_zero_for_honest_answers_and_the_gap_for_others() -> None:
    assert calibration_error(answers("ab" * 50, "aa" * 50, 0.5)) == pytest.approx(0)
    assert calibration_error(answers("ab" * 50, "aa" * 50, 1.0)) == pytest.approx(0.5)
    assert calibration_error(answers("aaab", "aaaa", [0.9, 0.9, 0.2, 0.2])) == pytest.approx(
        0.5 * 0.1 + 0.5 * 0.3
    )


def test_bins_cover_every_probability() -> None:
    curve = reliability(answers("aaaa", "aaaa", [0.0, 0.5, 0.999, 1.0]))
    assert sum(rows for _, _, rows in curve) == 4
