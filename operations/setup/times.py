"""Finds how a column writes its times, and the SQL that reads them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product

import pyarrow as pa

from core.errors import QueryRefused

ISO = "ISO 8601"
_ISO = re.compile(
    r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?\s*(?:Z|[+-]\d\d(?::?\d\d)?)?)?"
)
_DATES = (
    *("%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d"),
    *("%Y.%m.%d", "%Y%m%d", "%d %b %Y", "%b %d, %Y"),
)
_CLOCKS = ("", " %H:%M", " %H:%M:%S", ", %H:%M", ", %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
FORMATS = tuple(date + clock for date, clock in product(_DATES, _CLOCKS))
_DIGITS = "%Y%m%d"
_FIRST_DAY = 10**7
_FIRST_SECOND = 10**8
"""3 March 1973. Smaller numbers are not seconds since 1970 of rows that train a classifier."""
_FIRST_MILLISECOND = 10**11
_EPOCH = {
    ("duckdb", "seconds"): "to_timestamp({column})",
    ("duckdb", "milliseconds"): "epoch_ms({column})",
    ("postgresql", "seconds"): "to_timestamp({column})",
    ("postgresql", "milliseconds"): "to_timestamp({column} / 1000.0)",
    ("sqlite", "seconds"): "datetime({column}, 'unixepoch')",
    ("sqlite", "milliseconds"): "datetime({column} / 1000, 'unixepoch')",
}


@dataclass(frozen=True)
class TimeColumn:
    """How a column writes its times.

    Attributes
    ----------
    written : ISO, "timestamps", "seconds", "milliseconds", or a format of `strptime`
    numbers : whether the column's type is a number, which `strptime` does not take
    """

    written: str
    numbers: bool = False

    def sql(self, column: str, dialect: str) -> str:
        """Return the expression that reads the quoted column.

        Raises `QueryRefused` for a format that only the files' SQL reads.
        """
        if self.written in (ISO, "timestamps"):
            return column
        if (template := _EPOCH.get((dialect, self.written))) is not None:
            return template.format(column=column)
        if dialect == "duckdb":
            text = f"cast({column} as varchar)" if self.numbers else column
            return f"strptime({text}, '{self.written}')"
        raise _unreadable(f"{self.written} in {dialect}")


def read_times(values: pa.ChunkedArray, *, given: str | None = None) -> TimeColumn:
    """Return how the column writes its times; `given` is the format that a person named.

    Raises `QueryRefused` for values of no known format, or of two that disagree.
    """
    if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        return TimeColumn("timestamps")
    present = values.drop_null().unique().to_pylist()
    if not present:
        raise _unreadable("none in any row")
    texts = [str(value).strip() for value in present]
    if pa.types.is_integer(values.type):
        return TimeColumn(_format(texts, [given]) if given else _of_numbers(present), numbers=True)
    if given is None and all(map(_ISO.fullmatch, texts)):
        return TimeColumn(ISO)
    return TimeColumn(_format(texts, [given] if given else FORMATS))


def _of_numbers(numbers: Sequence[int]) -> str:
    if min(numbers) >= _FIRST_DAY and max(numbers) < _FIRST_SECOND:
        return _format(map(str, numbers), [_DIGITS])
    if min(numbers) < _FIRST_SECOND:
        raise _unreadable(f"the number {min(numbers)}")
    return "milliseconds" if min(numbers) >= _FIRST_MILLISECOND else "seconds"


def _format(texts: Iterable[str], formats: Sequence[str]) -> str:
    """Return the one format that reads every text."""
    fitting = list(formats)
    for text in texts:
        before, fitting = fitting, [style for style in fitting if _reads(style, text)]
        if not fitting:
            others = f", where others are {before[0]}" if len(before) < len(formats) else ""
            raise _unreadable(f"{text!r}{others}")
    if len(fitting) > 1:
        raise QueryRefused(
            "times that can be read in one way",
            came=f"values that fit {' and '.join(fitting)}",
            do=f"name one with --time-format, such as '{fitting[0]}'",
        )
    return fitting[0]


def _reads(written: str, text: str) -> bool:
    try:
        datetime.strptime(text, written)
    except ValueError:
        return False
    return True


def _unreadable(came: str) -> QueryRefused:
    return QueryRefused(
        "a column of times",
        came=came,
        do="name the column of times with --time and its format with --time-format, such as "
        "'%d.%m.%Y %H:%M', or write the query by hand (docs/bring-your-own-data.md)",
    )
