"""The level of an alarm follows from a budget of false calls; labels are tested at any time."""

from __future__ import annotations

import numpy as np
import pytest

from monitoring.drift.budget import ALARM, FUTURE, HIGHEST, Budget, alarm_level
from monitoring.drift.label_bets import (
    LEAST_THRESHOLD,
    bet_on_labels,
    threshold_for,
    worst_stretch,
)
from monitoring.drift.power_reports import describe_power


def pairs(*, seed: int, count: int = 400) -> np.ndarray:
    """Exponential pairs: of these the true level is known."""
    return np.random.default_rng(seed).exponential(0.6, count)


def test_a_budget_is_shared_by_classifiers_and_windows() -> None:
    weekly = Budget.of(max_false_alarms=2, classifiers=1).chance(window_days=7)
    assert weekly == pytest.approx(0.75 * 2 / (365 / 7))
    shared = Budget.of(max_false_alarms=2, classifiers=21)
    assert shared.chance(window_days=7) == pytest.approx(weekly / 21)
    assert shared.chance(window_days=0.2) == shared.chance(window_days=1)
    assert shared.for_labels == pytest.approx(0.25 * 2 / 21)


def test_the_fitted_tail_is_near_the_true_one() -> None:
    """One pair in 5,000, from 400 pairs."""
    true = FUTURE * 0.6 * np.log(5_000)
    levels = [alarm_level(pairs(seed=seed), chance=1 / 5_000) for seed in range(40)]
    assert np.median(levels) == pytest.approx(true, rel=0.1)
    assert np.quantile(levels, 0.1) > 0.65 * true


def test_a_smaller_budget_never_lowers_the_level() -> None:
    chances = (0.5, 0.1, 0.01, 1e-3, 1e-4, 1e-6, 1e-12)
    levels = [alarm_level(pairs(seed=1), chance=chance) for chance in chances]
    assert levels == sorted(levels)
    assert levels[0] == ALARM
    assert levels[-1] <= HIGHEST


@pytest.mark.parametrize("same", [0.0, 1.0])
def test_pairs_that_are_all_alike_have_a_level(same: float) -> None:
    assert alarm_level(np.full(400, same), chance=1e-4) == ALARM


def labels(share: float, *, count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(count) < share


@pytest.mark.parametrize(
    ("worse", "good_again", "within"), [(0.4, 0, 8), (0.2, 0, 25), (0.4, 500, 8)]
)
def test_the_worst_stretch_begins_near_the_label_from_which_the_head_is_worse(
    worse: float, good_again: int, within: int
) -> None:
    """Of 200 labels, 300 of a worse head, then good ones; half of the estimates are so near."""
    starts, ends = [], []
    for seed in range(40):
        parts = [
            labels(0.05, count=200, seed=seed),
            labels(worse, count=300, seed=100 + seed),
            labels(0.05, count=good_again, seed=200 + seed),
        ]
        stretch = worst_stretch(np.concatenate(parts), expected=0.05)
        starts.append(abs(stretch.start - 200))
        ends.append(abs(stretch.stop - 500))
    assert np.median(starts) <= within and np.median(ends) <= within


@pytest.mark.parametrize("wrong", [[True], [False], [False, False, True]])
def test_a_stretch_has_a_label(wrong: list[bool]) -> None:
    stretch = worst_stretch(wrong, expected=0.05)
    assert 0 <= stretch.start < stretch.stop <= len(wrong)


def test_right_labels_call_nothing_whenever_somebody_looks() -> None:
    """A thousand labels with exactly the tolerated share of contradictions, threshold 6,000."""
    crossed = [
        bet_on_labels(labels(0.07, count=1000, seed=seed), expected=0.05, threshold=6000).crossed
        for seed in range(200)
    ]
    assert sum(place is not None for place in crossed) <= 200 * 1000 / 6000


@pytest.mark.parametrize(("share", "within"), [(0.17, 400), (0.3, 120), (0.5, 50)])
def test_worse_answers_are_called(share: float, within: int) -> None:
    crossed = [
        bet_on_labels(labels(share, count=1000, seed=seed), expected=0.05, threshold=6000).crossed
        for seed in range(40)
    ]
    assert np.median([place or 10_000 for place in crossed]) <= within


def test_labels_after_a_long_calm_are_not_slower() -> None:
    late = np.concatenate([labels(0.05, count=2000, seed=1), labels(0.4, count=200, seed=2)])
    result = bet_on_labels(late, expected=0.05, threshold=6000)
    assert result.crossed is not None and 2000 < result.crossed < 2100


def test_oversampled_answers_count_less() -> None:
    """Doubtful answers are sampled ten times as often; overall the head is as usual."""
    wrong = np.tile([True, True, False, False] + [False] * 6, 60)
    likely = np.tile([1.0] * 4 + [0.1] * 6, 60)
    plain = bet_on_labels(wrong, expected=0.1, threshold=1000)
    weighted = bet_on_labels(wrong, expected=0.1, threshold=1000, weights=0.1 / likely)
    assert plain.crossed is not None
    assert weighted.crossed is None


def test_without_labels_nothing_is_called() -> None:
    result = bet_on_labels([], expected=0.05, threshold=100)
    assert (result.labels, result.crossed) == (0, None)


def test_the_threshold_follows_the_budget() -> None:
    assert threshold_for(labels_per_year=1000, false_calls_per_year=0.25) == 4000
    assert threshold_for(labels_per_year=10, false_calls_per_year=1) == LEAST_THRESHOLD


def test_power_is_said_in_days_or_with_what_to_set() -> None:
    power = {"window_rows": 1300, "window_days": 6.7, "alarm": 3.1, "days": 14.2}
    assert "is called after 14 days on average (windows of 1,300 answers" in describe_power(power)
    few = {"window_rows": 130, "window_days": 7.0, "alarm": 3.0, "days": None}
    assert "is not called" in describe_power(few)
    assert "set drift.window_days to 70 and drift.window_rows to 1,300" in describe_power(few)
    little = few | {"pool_rows": 1700}
    assert "and test_days to 420: a past of six such windows" in describe_power(little)
    strict = power | {"alarm": 3.9, "days": None, "unlimited_days": 14.2}
    assert "at z 3.0, with more false alarms, after 14 days" in describe_power(strict)
    many = {"window_rows": 2000, "window_days": 1.0, "alarm": 3.0, "days": None}
    assert "set drift.window_days to 2 and drift.window_rows to 4,000" in describe_power(many)
