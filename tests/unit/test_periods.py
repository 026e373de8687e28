"""Days as people write them, and what is said of others."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidPeriod
from monitoring.performance.periods import Period, read_period
from monitoring.performance.report import read_dimension

TODAY = date(2026, 3, 1)


def test_the_last_90_days_are_the_default_with_today() -> None:
    period = read_period("", "", today=TODAY)
    assert period == Period(date(2025, 12, 2), date(2026, 3, 2))
    assert period.end == datetime(2026, 3, 2, tzinfo=UTC)


def test_the_day_of_to_does_not_belong_to_it() -> None:
    assert read_period("2026-01-01", "2026-01-02", today=TODAY).until == date(2026, 1, 2)
    with pytest.raises(InvalidPeriod, match="earlier `from`"):
        read_period("2026-01-02", "2026-01-02", today=TODAY)


@pytest.mark.parametrize("text", ["yesterday", "2026-02-30", "1.2.2026", "0001-01-01", "<b>"])
def test_what_is_no_day_is_named_with_an_example(text: str) -> None:
    with pytest.raises(InvalidPeriod, match="2026-01-31"):
        read_period(text, "", today=TODAY)


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_text_is_a_period_or_a_named_error(since: str, until: str) -> None:
    try:
        period = read_period(since, until, today=TODAY)
    except InvalidPeriod:
        return
    assert period.start is not None and period.end is not None
    assert period.start < period.end


def test_an_unknown_grouping_names_the_known_ones() -> None:
    with pytest.raises(InvalidPeriod, match="week, day, month, version, region, label"):
        read_dimension("weather")
