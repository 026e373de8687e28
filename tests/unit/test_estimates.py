"""The intervals hold what they promise on redrawn samples, and corrections cannot enter them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.performance import estimates
from monitoring.performance.estimates import (
    Estimate,
    Sample,
    estimate_accuracy,
    estimate_coverage,
    estimate_f1,
    estimate_recall,
    estimate_weighted_f1,
)

REDRAWN = 1_000
ANSWERS = 20_000
LABELS = 30


def population(seed: int, *, labels: int = LABELS, unknown: float = 0.0) -> Sample:
    """All answers with their right labels: a census."""
    random = np.random.default_rng(seed)
    shares = 1 / np.arange(1, labels + 1)
    shares /= shares.sum()
    probability = np.clip(random.beta(6, 0.7, ANSWERS), 0.02, 0.999)
    right = random.choice(labels, ANSWERS, p=shares)
    wrong = random.choice(labels, ANSWERS, p=shares)
    answered = np.where(random.random(ANSWERS) < probability, right, wrong)
    right = np.where(random.random(ANSWERS) < unknown, -1, right)
    everyone = np.ones(ANSWERS)
    return Sample(right, answered, probability, everyone, ANSWERS, float(probability.mean()))


def chances(design: str, probability: Any, count: int) -> Any:
    """How likely each answer is to be drawn: alike, more when doubtful, or by something else."""
    random = np.random.default_rng(7)
    sizes = {
        "alike": np.ones(ANSWERS),
        "doubtful": np.clip(1.2 - probability, 0.05, 1),
        "skewed": random.lognormal(0, 1, ANSWERS),
    }[design]
    return np.clip(count * sizes / sizes.sum(), 0, 1)


def covered(
    everyone: Sample, estimate: Callable[[Sample], Estimate | None], design: str, count: int
) -> tuple[float, float]:
    """Return how often the interval holds the truth, and its mean width."""
    truth = estimate(everyone)
    assert truth is not None and truth.low == truth.high
    random = np.random.default_rng(1)
    likely = chances(design, everyone.probability, count)
    holds = []
    widths = []
    for _ in range(REDRAWN):
        drawn = random.random(ANSWERS) < likely
        plain = everyone.only(drawn, size=ANSWERS, mean_probability=everyone.mean_probability)
        found = estimate(Sample(**{**vars(plain), "drawn": likely[drawn]}))
        assert found is not None
        holds.append(found.low <= truth.value <= found.high)
        widths.append(found.high - found.low)
    return float(np.mean(holds)), float(np.mean(widths))


@pytest.mark.parametrize("design", ["alike", "doubtful", "skewed"])
@pytest.mark.parametrize("count", [60, 1_000])
@pytest.mark.parametrize("estimate", [estimate_accuracy, estimate_weighted_f1])
def test_95_percent_intervals_hold_the_truth_in_92_to_98_percent_of_samples(
    estimate: Callable[[Sample], Estimate | None], count: int, design: str
) -> None:
    held, _ = covered(population(3), estimate, design, count)
    assert 0.92 <= held <= 0.98


@pytest.mark.parametrize(
    "estimate",
    [estimate_coverage, lambda sample: estimate_f1(sample, 0), lambda s: estimate_recall(s, 0)],
    ids=["coverage", "f1 of a label", "recall of a label"],
)
def test_so_do_the_intervals_of_coverage_and_of_one_label(
    estimate: Callable[[Sample], Estimate | None],
) -> None:
    held, _ = covered(population(3, unknown=0.03), estimate, "skewed", 200)
    assert 0.92 <= held <= 0.98


def test_the_served_probability_saves_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    everyone = population(3)
    held, powered = covered(everyone, estimate_accuracy, "alike", 200)
    monkeypatch.setattr(estimates, "LEAST_POWERED", ANSWERS)
    _, plain = covered(everyone, estimate_accuracy, "alike", 200)
    assert held >= 0.92
    assert powered < 0.96 * plain


def test_a_probability_that_predicts_nothing_does_no_harm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    everyone = population(3)
    blind = np.random.default_rng(9).random(ANSWERS)
    shuffled = Sample(
        **{**vars(everyone), "probability": blind, "mean_probability": float(blind.mean())}
    )
    held, powered = covered(shuffled, estimate_accuracy, "alike", 200)
    monkeypatch.setattr(estimates, "LEAST_POWERED", ANSWERS)
    _, plain = covered(shuffled, estimate_accuracy, "alike", 200)
    assert 0.92 <= held <= 0.98
    assert powered < 1.01 * plain


def test_doubtful_answers_that_are_drawn_more_often_do_not_lower_the_accuracy() -> None:
    everyone = population(3)
    likely = chances("doubtful", everyone.probability, 4_000)
    drawn = np.random.default_rng(2).random(ANSWERS) < likely
    plain = everyone.only(drawn, size=ANSWERS, mean_probability=everyone.mean_probability)
    found = estimate_accuracy(Sample(**{**vars(plain), "drawn": likely[drawn]}))
    truth = float((everyone.right == everyone.answered).mean())
    naive = float((plain.right == plain.answered).mean())
    assert found is not None
    assert naive < truth - 0.03
    assert found.value == pytest.approx(truth, abs=0.01)


def one_of_two(wrong: int, count: int, *, size: int = 10_000) -> Sample:
    right = np.zeros(count, np.int64)
    answered = np.where(np.arange(count) < wrong, 1, 0)
    return Sample(right, answered, np.full(count, 0.9), np.full(count, 0.01), size, 0.9)


def test_no_wrong_answer_in_a_small_sample_is_no_proof_of_none() -> None:
    found = estimate_accuracy(one_of_two(0, 20))
    assert found is not None
    assert found.value == found.high == 1
    assert found.low == pytest.approx(1 - 0.16, abs=0.02)


@pytest.mark.parametrize("count", range(2, 40))
def test_no_wrong_label_in_a_small_sample_is_no_proof_of_a_perfect_f1(count: int) -> None:
    both = np.arange(count) % 3  # of three labels the shares are no exact floats
    sample = Sample(both, both, np.full(count, 0.7), np.full(count, 0.3), 3 * count, 0.7)
    found = estimate_weighted_f1(sample)
    assert found is not None
    assert found.value == pytest.approx(1)
    assert found.low < 1 - 1 / count


def test_nothing_is_said_without_a_sample() -> None:
    nothing = one_of_two(0, 0)
    assert estimate_accuracy(nothing) is None
    assert estimate_weighted_f1(nothing) is None
    assert estimate_coverage(nothing) is None
    assert estimate_f1(one_of_two(0, 5), 3) is None
    assert estimate_recall(one_of_two(0, 5), 3) is None


def test_weighted_f1_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import f1_score

    everyone = population(5)
    found = estimate_weighted_f1(everyone)
    assert found is not None
    expected = f1_score(everyone.right, everyone.answered, average="weighted", zero_division=0.0)
    assert found.value == pytest.approx(expected)
    of_label = estimate_f1(everyone, 2)
    assert of_label is not None
    assert of_label.value == pytest.approx(f1_score(everyone.right == 2, everyone.answered == 2))


@given(
    st.lists(
        st.tuples(st.integers(-1, 4), st.integers(0, 4), st.floats(0, 1), st.floats(0.001, 1)),
        min_size=1,
        max_size=80,
    ),
    st.integers(0, 100_000),
)
def test_every_interval_holds_its_value_within_0_and_1(
    rows: list[tuple[int, int, float, float]], more: int
) -> None:
    right, answered, probability, drawn = map(np.array, zip(*rows, strict=True))
    sample = Sample(right, answered, probability, drawn, len(rows) + more, 0.5)
    found = [estimate_accuracy(sample), estimate_coverage(sample), estimate_weighted_f1(sample)]
    found += [estimate_f1(sample, 1), estimate_recall(sample, 1)]
    for estimate in filter(None, found):
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
