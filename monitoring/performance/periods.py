"""Periods of whole days in UTC, as people write them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from core.errors import InvalidPeriod

DAYS = 90
"""How far back a report looks: labels are often a month late."""

FIRST_YEAR = 1970


@dataclass(frozen=True)
class Period:
    """The days from `since` up to, not including, `until`; None for no limit."""

    since: date | None = None
    until: date | None = None

    @property
    def start(self) -> datetime | None:
        return _midnight(self.since)

    @property
    def end(self) -> datetime | None:
        return _midnight(self.until)


def read_period(since: str, until: str, *, today: date) -> Period:
    """Read two ISO dates; empty ones stand for the last DAYS days up to and including today.

    Raises `InvalidPeriod` for anything else, and for a period without a day.
    """
    end = _day(until, "to") if until else today + timedelta(days=1)
    start = _day(since, "from") if since else end - timedelta(days=min(DAYS, end.toordinal() - 1))
    if start >= end:
        raise InvalidPeriod(
            "a day of `from` before the day of `to`",
            came=f"from {start} to {end}",
            do="give an earlier `from`, or a later `to`: its day does not belong to the period",
        )
    return Period(start, end)


def _day(text: str, name: str) -> date:
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        day = date.min
    if day.year < FIRST_YEAR:
        raise InvalidPeriod(
            f"a day such as 2026-01-31 for `{name}`",
            came=repr(text[:40]),
            do="write the day like that",
        )
    return day


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), UTC)
