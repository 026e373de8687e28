"""What every format is read into: one flat record per label, or per task without one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

from core.csv_files import is_unicode


@dataclass(frozen=True)
class Refusal:
    """A line that was refused, and why. In a file that is one list, `row` counts its tasks."""

    row: int
    reason: str


@dataclass(frozen=True)
class Record:
    """The values of one line by the names of `Task`, as they came; missing ones have no entry."""

    row: int
    values: Mapping[str, Any]


def json_lines(lines: TextIO) -> Iterator[Record | Refusal]:
    """Yield the object of every line that is not blank."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _json_line(number, line)


def _json_line(number: int, line: str) -> Record | Refusal:
    try:
        fields = loads_distinct(line)
    except (ValueError, RecursionError) as error:
        return Refusal(number, f"expected JSON; {error}")
    if not isinstance(fields, dict):
        return Refusal(number, f"expected an object, got {type(fields).__name__}")
    return Record(number, fields)


def loads_distinct(text: str) -> Any:
    """Read JSON. Raises `ValueError` for a name that an object has twice."""
    return json.loads(text, object_pairs_hook=_distinct)


def _distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)} more than once")
    return fields


def unusable(value: object) -> str | None:
    """Return why a value is not a text with content, None when it is one."""
    if value is not None and not isinstance(value, str):
        return f"expected a text, got {json.dumps(value)[:80]}"
    if value is None or not value.strip():
        return "expected a text that is not empty"
    if "\0" in value or "\ufffd" in value:
        return "expected a text without NUL"
    return None if is_unicode(value) else "expected UTF-8"


def utc_moment(value: object) -> datetime | None:
    """Read an ISO 8601 time; one without a zone is UTC.

    Raises `TypeError`, `ValueError`, `OverflowError`.
    """
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise TypeError(value)
    moment = datetime.fromisoformat(value)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
