from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.params.drift import DriftParams
from monitoring.windows.baseline import joined_rows
from monitoring.windows.cutting import (
    LEAST_ROWS,
    Limits,
    days_spanned,
    effective_window,
    end_of_window,
    evenly,
    on_time,
    round_rows,
)

START = np.datetime64("2026-01-01", "ns")
HOUR = np.timedelta64(3600, "s")


def arrivals(rows: int, *, a_day: float, start: np.datetime64 = START) -> np.ndarray:
    return start + (np.arange(rows) * 86_400 / a_day * 1e9).astype("timedelta64[ns]")


def cut(moments: np.ndarray, limits: Limits) -> list[int]:
    """The rows of every complete window, as a watch cuts one behind the other."""
    sizes = []
    while (rows := end_of_window(moments, limits)) is not None:
        sizes.append(rows)
        moments = moments[rows:]
    return sizes


clocks = st.lists(st.integers(0, 2000), min_size=0, max_size=400)


@given(clocks, clocks, st.integers(100, 200), st.integers(1, 9))
def test_more_rows_never_change_earlier_windows(
    early: list[int], late: list[int], rows: int, days: int
) -> None:
    """Whatever clocks the rows have."""
    limits = Limits(rows, days)
    before, after = (START + np.array(hours, int) * HOUR for hours in (early, early + late))
    assert cut(after, limits)[: len(cut(before, limits))] == cut(before, limits)


@given(clocks, st.integers(100, 200), st.integers(1, 9))
def test_windows_are_complete_without_overlap(hours: list[int], rows: int, days: int) -> None:
    sizes = cut(START + np.sort(np.array(hours, int)) * HOUR, Limits(rows, days))
    assert all(size >= LEAST_ROWS for size in sizes)
    assert sum(sizes) <= len(hours)


@pytest.mark.parametrize(
    ("a_day", "size"),
    [
        (600, 2000),  # full before its days are over
        (193, 1351),  # a week of the demo
        (70, 490),
        (10, LEAST_ROWS),  # a week is too little: it waits for enough rows
        (20_000, 20_000),  # a day at least; 2,000 of its rows are read
    ],
)
def test_a_window_is_sized_for_the_traffic(a_day: int, size: int) -> None:
    moments = arrivals(3 * size + 100, a_day=a_day)
    assert cut(moments, Limits(2000, 7))[:2] == pytest.approx([size, size], abs=3)


def test_two_equal_sites_nine_hours_apart_are_in_equal_shares() -> None:
    moments = arrivals(7200, a_day=400)
    behind = np.arange(7200) % 2 == 1
    sizes = cut(np.where(behind, moments - 9 * HOUR, moments), Limits(2000, 7))
    assert [size for size in sizes if size != 2000] == []
    assert len(sizes) == 3
    assert behind[: sum(sizes)].mean() == 0.5


@pytest.mark.parametrize("years", [-1, 1])
def test_clocks_a_year_off_change_no_window(years: int) -> None:
    moments = arrivals(1500, a_day=100)
    off = np.random.default_rng(3).random(1500) < 0.2
    odd = np.where(off, moments + years * 365 * 24 * HOUR, moments)
    usual, cut_odd = cut(moments, Limits(2000, 7)), cut(odd, Limits(2000, 7))
    assert cut_odd == pytest.approx(usual, abs=20)
    assert (on_time(odd) == ~off).mean() > 0.99


def test_a_backfill_of_last_year_is_in_the_window_of_its_arrival() -> None:
    usual = arrivals(2000, a_day=200)
    old = arrivals(900, a_day=900, start=START - 365 * 24 * HOUR)
    moments = np.concatenate([usual[:700], old, usual[700:]])
    assert cut(moments, Limits(2000, 7))[0] == 2000, "1,100 usual rows and the 900 old ones"


def test_a_span_needs_rows_to_tell_the_time() -> None:
    spans = days_spanned(arrivals(60, a_day=10))
    assert np.isinf(spans[:25]).all()
    assert spans[59] == pytest.approx(6.0, abs=0.1)
    assert days_spanned(arrivals(0, a_day=10)).size == 0


@given(st.integers(1, 300), st.integers(0, 600))
def test_a_sample_is_spread_evenly(rows: int, of: int) -> None:
    positions = evenly(rows, of=of)
    assert len(set(positions)) == len(positions) == min(rows, of)
    assert (np.diff(positions) <= of // rows + 1).all()


@given(st.integers(100, 10**7))
def test_few_sizes_and_few_rows_lost(rows: int) -> None:
    assert 0.9 * rows < round_rows(rows) <= rows
    assert len(str(round_rows(rows)).rstrip("0")) <= 2


@pytest.mark.parametrize(
    ("weights", "size"),
    [([1.0] * 1200, 200), ([3.0] * 1200, 600), ([1.0] * 60_000, 2000), ([1.0] * 90, 100)],
)
def test_a_window_is_a_sixth_of_the_pool_at_most(
    tmp_path: Path, weights: list[float], size: int
) -> None:
    pd.DataFrame({"weight": weights}).to_parquet(tmp_path / "reference.parquet")
    assert effective_window(tmp_path / "reference.parquet", DriftParams()) == size


def test_without_reference_rows_the_least_window_is_used(tmp_path: Path) -> None:
    assert effective_window(tmp_path / "none.parquet", DriftParams()) == 100


@pytest.mark.parametrize(
    ("windows", "rows"), [(0, 0), (5, 0), (6, 1_200), (18, 3_600), (40, 3_600)]
)
def test_steady_windows_count_for_the_size_of_the_next_once_they_join(
    windows: int, rows: int
) -> None:
    assert joined_rows([200] * windows) == rows
