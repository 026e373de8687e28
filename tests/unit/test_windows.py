from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.params import DriftParams
from monitoring.windows import Window, cut_windows, effective_window

tenures = st.lists(st.integers(0, 40), max_size=6)


@given(tenures, st.integers(1, 15), st.integers(0, 3))
def test_windows_lie_within_one_tenure_in_order_and_none_is_missing(
    rows: list[int], size: int, reported: int
) -> None:
    windows = cut_windows(rows, size=size, reported=reported)
    ends = [sum(rows[: index + 1]) for index in range(len(rows))]
    tenure_of = [
        next(index for index, end in enumerate(ends) if window.first < end) for window in windows
    ]
    assert all(
        window.first + window.rows <= ends[tenure]
        for window, tenure in zip(windows, tenure_of, strict=True)
    )
    assert [tenure_of.count(index) for index in range(len(rows))] == [
        count // size for count in rows
    ]
    assert [window.number for window in windows] == list(
        range(reported + 1, reported + len(windows) + 1)
    )


@given(tenures, st.integers(1, 15), st.integers(0, 30))
def test_more_rows_never_change_earlier_windows(rows: list[int], size: int, more: int) -> None:
    before = cut_windows([*rows, 7], size=size)
    assert cut_windows([*rows, 7 + more], size=size)[: len(before)] == before


def test_a_tenure_begins_its_own_windows() -> None:
    assert cut_windows([150, 90], size=60, reported=1) == [
        Window(2, 0, 60),
        Window(3, 60, 60),
        Window(4, 150, 60),
    ]


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
