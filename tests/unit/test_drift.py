from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitoring.drift import rule
from monitoring.drift.power import measure_power
from monitoring.drift.rule import (
    Calibration,
    Pool,
    calibrate,
    deal_days,
    draw_window,
    judge,
    score,
    shortage,
)
from monitoring.windows.scoring import WindowScorer
from monitoring.windows.statistics import WindowSample
from tests.support.traffic import make_scorer, traffic

SIZE = 600


@pytest.fixture(autouse=True)
def fewer_past_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as these tests can tell from PAST_WINDOWS, and quicker."""
    monkeypatch.setattr(rule, "PAST_WINDOWS", 60)


@cache
def normal() -> tuple[WindowScorer, pd.DataFrame, Pool, Calibration]:
    rows = traffic(days=90, a_day=60, seed=1)
    scorer = make_scorer(rows["cleaned"])
    pool = scorer.pool(rows)
    return (
        scorer,
        rows,
        pool,
        calibrate(pool, size=SIZE, labels=scorer.labels, seed=7),
    )


def alarms_of(
    windows: int, *, seed: int, calibration: Calibration | None = None, **how: Any
) -> list[tuple[str, ...]]:
    """Alarms of consecutive windows of fresh days."""
    scorer, _, _, usual = normal()
    rows = traffic(days=windows * 11 + 3, a_day=60, seed=seed, **how)
    cut = [rows.iloc[number * SIZE : (number + 1) * SIZE] for number in range(windows)]
    return [score(scorer.sample(window), calibration=calibration or usual).alarms for window in cut]


def test_usual_traffic_is_calm() -> None:
    alarms = alarms_of(24, seed=100)
    assert sum(map(bool, alarms)) <= 3
    assert not any(set(first) & set(second) for first, second in pairwise(alarms))


@pytest.mark.parametrize(
    ("how", "statistic"),
    [
        ({"moved": 0.2}, "label_shares"),
        ({"garbled": 0.1}, "low_confidence"),
        ({"garbled": 0.1}, "confidence"),
        ({"garbled": 0.2}, "embeddings"),
        ({"garbled": 0.6}, "novelty_mean"),
    ],
)
def test_moved_traffic_alarms_in_every_window(how: dict[str, Any], statistic: str) -> None:
    assert all(statistic in alarms for alarms in alarms_of(4, seed=200, **how))


def test_held_out_phrases_stand_for_the_new_ones_by_weight() -> None:
    """Some phrases are new to the head, and 30 % of those were held out.

    Weighted they look like live traffic, unweighted they do not.
    """
    scorer = normal()[0]
    rows = traffic(days=90, a_day=60, seed=1, garbled=0.15)
    new = rows["cleaned"].str.contains("odd")
    sampled = rows[~new | (np.random.default_rng(5).random(len(rows)) < 0.3)]
    weighted = sampled.assign(weight=np.where(sampled["cleaned"].str.contains("odd"), 1 / 0.3, 1.0))
    calm, blind = (
        calibrate(scorer.pool(pool), size=SIZE, labels=scorer.labels, seed=7)
        for pool in (weighted, sampled)
    )
    assert sum(map(bool, alarms_of(10, seed=300, garbled=0.15, calibration=calm))) <= 1
    assert sum(map(bool, alarms_of(10, seed=300, garbled=0.15, calibration=blind))) >= 8


def test_equal_pools_and_seeds_give_equal_calibrations() -> None:
    scorer, _, pool, _ = normal()
    first, second = (calibrate(pool, size=SIZE, labels=scorer.labels, seed=3) for _ in range(2))
    assert (first.mean == second.mean).all()
    assert (first.scale == second.scale).all()


def test_dealing_takes_half_of_the_days_and_another_half_each_time() -> None:
    random = np.random.default_rng(1)
    halves = np.array([deal_days(91, random=random) for _ in range(50)])
    assert set(halves.sum(axis=1)) == {45}
    assert halves.any(axis=0).all() and not halves.all(axis=0).any()


def test_a_past_window_is_of_whole_days_and_of_the_size_asked_for() -> None:
    day, weight = days_of(days=20, a_day=10)
    window = draw_window(day, weight, size=35, random=np.random.default_rng(1))
    drawn = pd.Series(day[window]).value_counts()
    assert len(window) == len(set(window)) == 35
    assert sorted(drawn) == [5, 10, 10, 10]


def test_a_day_larger_than_the_window_gives_a_stretch_of_it() -> None:
    day, weight = days_of(days=4, a_day=100)
    starts = {
        int(draw_window(day, weight, size=10, random=np.random.default_rng(seed))[0] % 100)
        for seed in range(20)
    }
    assert len(starts) > 5


def test_heavy_rows_take_their_share_and_no_row_comes_twice_while_others_are_left() -> None:
    day, _ = days_of(days=20, a_day=10)
    weight = np.where(np.arange(200) % 10 == 0, 5.0, 1.0)
    window = draw_window(day, weight, size=56, random=np.random.default_rng(2))
    assert len(window) == len(set(window)) == 56
    assert int(np.sum(window % 10 == 0)) == round(56 * 100 / 280)


def test_a_head_that_was_never_unsure_is_not_alarmed_by_one_unsure_answer() -> None:
    scorer, _, pool, _ = normal()
    sure = Pool(
        replace(pool.sample, confidence=np.full(len(pool.day), 0.99)), pool.day, pool.weight
    )
    calibration = calibrate(sure, size=SIZE, labels=scorer.labels, seed=1)
    window = sure.sample.take(
        draw_window(sure.day, sure.weight, size=SIZE, random=np.random.default_rng(9))
    )
    window.confidence[:1] = 0.4
    assert "low_confidence" not in score(window, calibration=calibration).alarms
    window.confidence[:30] = 0.4
    assert "low_confidence" in score(window, calibration=calibration).alarms


@pytest.mark.parametrize(
    ("now", "before", "kind"),
    [
        ((), (), "steady"),
        ((), ("confidence",), "steady"),
        (("confidence",), (), "warning"),
        (("confidence",), ("embeddings",), "warning"),
        (("confidence", "embeddings"), ("embeddings",), "drift"),
    ],
)
def test_drift_is_the_same_alarm_twice_running(
    now: tuple[str, ...], before: tuple[str, ...], kind: str
) -> None:
    assert judge(now, before=before).kind == kind


def test_too_little_to_compare_with_is_reported() -> None:
    assert "59 rows" in (shortage(numbered(days=1, a_day=59), size=10) or "")
    assert "7 days" in (shortage(numbered(days=7, a_day=10), size=10) or "")
    assert shortage(numbered(days=8, a_day=10), size=10) is None


def numbered(*, days: int, a_day: int) -> Pool:
    """Rows whose label is their number."""
    day, weight = days_of(days=days, a_day=a_day)
    rows = len(day)
    return Pool(
        WindowSample(
            np.arange(rows),
            np.full(rows, 0.9),
            np.full(rows, 0.1),
            np.ones((rows, 256), np.float32),
        ),
        day,
        weight,
    )


def days_of(*, days: int, a_day: int) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat(np.arange(days), a_day), np.ones(days * a_day)


def test_the_power_of_a_watch_is_known_where_every_label_is_frequent() -> None:
    """Labels of half the traffic each: the rarer one stands for the rare ones."""
    scorer, _, pool, _ = normal()
    for labels, known in ((2, True), (1, False)):
        few = Pool(replace(pool.sample, label=pool.sample.label % labels), pool.day, pool.weight)
        power = measure_power(
            few, size=SIZE, labels=scorer.labels, alarm=3.0, window_days=10.0, seed=1
        )
        assert (power is not None) == known
        assert power is None or power.window_rows == SIZE


def test_phrases_that_no_window_brought_before_have_a_novelty() -> None:
    known = traffic(days=2, seed=1)
    fresh = traffic(days=2, seed=2, garbled=1.0)
    first = make_scorer(known["cleaned"])
    second = make_scorer([*known["cleaned"], *fresh["cleaned"]])
    assert first.novelty(fresh) == pytest.approx(second.novelty(fresh))
