from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from core.params import GateParams
from pipelines.comparison import (
    ROUNDS_AT_ONCE,
    ScoredRows,
    bootstrap_gains,
    decide_promotion,
    weighted_f1,
)

GATE = GateParams(min_weighted_f1=0.5)


def scored(
    accuracy: float, champion_accuracy: float | None, *, rows: int = 2000, seed: int = 1
) -> ScoredRows:
    draw = np.random.default_rng(seed)
    truth = draw.choice(["a", "b", "c"], p=[0.6, 0.3, 0.1], size=rows)

    def answers(share: float) -> list[str]:
        wrong = draw.random(rows) > share
        return np.where(wrong, "d", truth).tolist()

    champion = None if champion_accuracy is None else answers(champion_accuracy)
    phrases = [f"phrase {number}" for number in draw.integers(0, rows // 2, size=rows)]
    return ScoredRows(truth.tolist(), phrases, answers(accuracy), champion, "a")


def test_first_version_above_floor_and_minimum_is_promoted() -> None:
    verdict = decide_promotion(scored(0.9, None), gate=GATE, seed=1)
    assert verdict.kind == "promote"
    assert "champion_weighted_f1" not in verdict.evidence


@pytest.mark.parametrize(
    ("candidate", "champion", "gate", "reason"),
    [
        (0.3, None, GATE, "below the minimum"),
        (0.1, None, GateParams(min_weighted_f1=0.0), "most frequent label"),
        (0.85, 0.95, GATE, "may drop"),
        (0.80, 0.95, GateParams(max_weighted_f1_drop=1.0), "recall of"),
    ],
)
def test_each_gate_rejects_with_its_reason(
    candidate: float, champion: float | None, gate: GateParams, reason: str
) -> None:
    verdict = decide_promotion(scored(candidate, champion), gate=gate, seed=1)
    assert verdict.kind == "reject"
    assert any(reason in line for line in verdict.reasons)


def test_an_equal_candidate_is_promoted_and_a_better_one_gains() -> None:
    rows = scored(0.9, 0.9)
    same = ScoredRows(rows.truth, rows.phrases, rows.candidate, rows.candidate, rows.floor)
    assert decide_promotion(same, gate=GATE, seed=1).kind == "promote"
    better = decide_promotion(scored(0.95, 0.85), gate=GATE, seed=1)
    assert better.kind == "promote"
    assert better.evidence["gain_lower_bound"] > 0


def test_the_verdict_is_a_function_of_rows_and_seed() -> None:
    assert decide_promotion(scored(0.9, 0.9), gate=GATE, seed=3) == decide_promotion(
        scored(0.9, 0.9), gate=GATE, seed=3
    )


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1))
def test_weighted_f1_is_scikit_learns(pairs: list[tuple[str, str]]) -> None:
    truth, predicted = zip(*pairs, strict=True)
    assert weighted_f1(truth, predicted) == pytest.approx(
        f1_score(truth, predicted, average="weighted", zero_division=0)
    )


def test_rounds_drawn_in_parts_are_the_same_rounds() -> None:
    rows = scored(0.9, 0.85, rows=200)
    labels = ["a", "b", "c", "d"]
    many = bootstrap_gains(rows, labels, seed=1, rounds=ROUNDS_AT_ONCE + 3)
    assert len(many) == ROUNDS_AT_ONCE + 3 and len(set(many)) > ROUNDS_AT_ONCE / 2
    np.testing.assert_array_equal(many[:5], bootstrap_gains(rows, labels, seed=1, rounds=5))
