"""How a column of a new classifier writes its times."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pytest

from core.errors import QueryRefused
from operations.setup.times import ISO, read_times


@pytest.mark.parametrize(
    ("values", "written"),
    [
        (["2026-01-31 08:00:00", "2026-01-31T08:00Z", "2026-02-01"], ISO),
        (["31.01.2026 08:00", "01.02.2026 09:30"], "%d.%m.%Y %H:%M"),
        (["1/31/2026 8:00 PM", "2/1/2026 9:30 AM"], "%m/%d/%Y %I:%M %p"),
        (["31/01/2026"], "%d/%m/%Y"),
        (["20260131"], "%Y%m%d"),
        ([datetime(2026, 1, 31), None], "timestamps"),
        ([date(2026, 1, 31)], "timestamps"),
        ([20260131, None], "%Y%m%d"),
        ([1_769_846_400], "seconds"),
        ([1_769_846_400_000], "milliseconds"),
    ],
)
def test_the_format_of_times_is_found(values: list[Any], written: str) -> None:
    assert read_times(pa.chunked_array([values])).written == written


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["01/02/2026", "03/04/2026"], "%d/%m/%Y and %m/%d/%Y"),
        (["31.01.2026", "yesterday"], "'yesterday', where others are %d.%m.%Y"),
        (["soon"], "'soon'"),
        ([7], "the number 7"),
        ([20260131, 1_769_846_400], "the number 20260131"),
        ([20261301], "'20261301'"),
        ([None], "none in any row"),
    ],
)
def test_times_that_cannot_be_read_are_named(values: list[Any], words: str) -> None:
    column = pa.chunked_array([pa.array(values, pa.string() if None in values else None)])
    with pytest.raises(QueryRefused, match=words) as caught:
        read_times(column)
    assert "--time-format" in caught.value.do


def test_a_named_format_decides_between_two() -> None:
    column = pa.chunked_array([["01/02/2026", "03/04/2026"]])
    assert read_times(column, given="%m/%d/%Y").written == "%m/%d/%Y"


def test_a_named_format_reads_numbers() -> None:
    column = pa.chunked_array([[31012026, 28022026]])
    assert read_times(column, given="%d%m%Y").written == "%d%m%Y"
    with pytest.raises(QueryRefused, match="'31012026'"):
        read_times(column, given="%Y%m%d")
