"""CSV and JSON lines: one line per label, or per task without one."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from typing import TextIO

from core.csv_files import DamagedRow, HeaderUnusable, read_rows
from core.errors import InvalidFeedback
from monitoring.tasks.records import Record, Refusal, json_lines
from monitoring.tasks.task import COLUMNS, Task, record_of

NEEDED = ("request_id", "label", "author")
"""The columns of feedback; in a file of tasks the values of the last two may be empty."""
OPTIONAL = ("received_at", "kind", "probability")


def write_json_lines(tasks: Iterable[Task], _labels: Sequence[str]) -> Iterator[str]:
    """Yield one object per line."""
    for task in tasks:
        yield json.dumps(record_of(task), ensure_ascii=False) + "\n"


def read_json_lines(lines: TextIO) -> Iterator[Record | Refusal]:
    """Yield the record of every line."""
    yield from json_lines(lines)


def write_csv(tasks: Iterable[Task], _labels: Sequence[str]) -> Iterator[str]:
    """Yield a header and one row per task."""
    yield _line(COLUMNS)
    for task in tasks:
        record = record_of(task)
        if "alternatives" in record:
            record["alternatives"] = json.dumps(record["alternatives"], ensure_ascii=False)
        yield _line([record.get(name, "") for name in COLUMNS])


def read_csv(lines: TextIO) -> Iterator[Record | Refusal]:
    """Yield the record of every row.

    Raises `InvalidFeedback` when the header lacks a column of NEEDED or has one twice.
    """
    try:
        for row in read_rows(lines, needed=NEEDED, used=OPTIONAL, unlike_rows=NEEDED):
            if isinstance(row, DamagedRow):
                yield Refusal(row.line, row.reason)
            else:
                yield Record(row.line, row.values)
    except HeaderUnusable as error:
        raise InvalidFeedback(
            f"a header in line 1 with each of {', '.join(NEEDED)} once",
            came=str(error),
            do="name the columns in line 1 of a CSV, or name a JSON-lines file",
        ) from None


def _line(values: Sequence[object]) -> str:
    text = StringIO()
    csv.writer(text).writerow(values)  # its own line ends: only then a lone \r is quoted
    return text.getvalue()
