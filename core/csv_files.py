"""Text and CSV files as people save them: encodings, delimiters, and rows that are damaged.

A damaged row never takes its neighbours with it: reading goes on in the line after its first.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

DELIMITERS = ",;\t|"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class HeaderUnusable(ValueError):
    """The first line is not a header with the columns; the message says what came."""


@dataclass(frozen=True)
class Row:
    """A row with the line in which it begins. Missing last values have no entry."""

    line: int
    values: Mapping[str, str]


@dataclass(frozen=True)
class DamagedRow:
    """A row that cannot be read, with the line in which it begins."""

    line: int
    reason: str


@contextmanager
def open_text(file: Path) -> Iterator[TextIO]:
    """Open a text in UTF-8, or in UTF-16 with a byte order mark.

    Other bytes become lone surrogates: the reader names the row.
    """
    with file.open("rb") as content:
        is_utf16 = content.read(2) in _UTF16
    encoding, errors = ("utf-16", "replace") if is_utf16 else ("utf-8-sig", "surrogateescape")
    with file.open(encoding=encoding, errors=errors, newline="") as lines:
        yield lines


def is_unicode(text: str) -> bool:
    """Return False for lone surrogates, which stand for bytes that are not UTF-8."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def read_rows(
    lines: Iterator[str],
    *,
    needed: Sequence[str],
    used: Sequence[str] = (),
    unlike_rows: Sequence[str] = (),
) -> Iterator[Row | DamagedRow]:
    """Yield the rows of a CSV in the order of the file.

    The delimiter is the one of DELIMITERS by which the header has the `needed` columns. In the
    columns `unlike_rows`, a value with a delimiter and a line break comes from an open quote.

    Raises `HeaderUnusable` when the header lacks a needed column, or has a used one twice.
    """
    delimiter, header = _header(next(lines, ""), needed)
    twice = [name for name in (*needed, *used) if header.count(name) > 1]
    if twice:
        raise HeaderUnusable(f"{', '.join(twice)} more than once")
    layout = _Layout(delimiter, header, unlike_rows)
    source = _Lines(lines, number=1)
    while (record := _record(source, layout)) is not None:
        if not isinstance(record, Row) or record.values:
            yield record


def _header(line: str, needed: Sequence[str]) -> tuple[str, list[str]]:
    try:
        by_delimiter = {
            delimiter: next(csv.reader([line], delimiter=delimiter), []) for delimiter in DELIMITERS
        }
    except csv.Error as error:
        raise HeaderUnusable(str(error)) from None
    for delimiter, names in by_delimiter.items():
        if set(needed) <= set(names):
            return delimiter, names
    if "\0" in line:
        raise HeaderUnusable("NUL characters, as in UTF-16 without a byte order mark")
    names = max(by_delimiter.values(), key=len)
    missing = [name for name in needed if name not in names]
    raise HeaderUnusable(f"{', '.join(names)[:200] or 'nothing'} (without {', '.join(missing)})")


@dataclass(frozen=True)
class _Layout:
    delimiter: str
    header: Sequence[str]
    unlike_rows: Sequence[str]


class _Lines:
    """Lines with their numbers, of which the last ones taken can be given back."""

    def __init__(self, lines: Iterator[str], *, number: int) -> None:
        self.number = number
        self._lines = lines
        self._waiting: deque[str] = deque()

    def take(self) -> str | None:
        line = self._waiting.popleft() if self._waiting else next(self._lines, None)
        self.number += line is not None
        return line

    def give_back(self, taken: Sequence[str]) -> None:
        self._waiting.extendleft(reversed(taken))
        self.number -= len(taken)


def _record(source: _Lines, layout: _Layout) -> Row | DamagedRow | None:
    """Return the next record; None at the end of the file."""
    first = source.number + 1
    taken: list[str] = []

    def lines() -> Iterator[str]:
        while (line := source.take()) is not None:
            taken.append(line)
            yield line

    try:
        values = next(csv.reader(lines(), delimiter=layout.delimiter, strict=True), None)
    except csv.Error as error:
        reason = _plain_reason(error)
    else:
        if values is None:
            return None
        row = Row(first, dict(zip(layout.header, values, strict=False)))
        reason = _damage(row, values, layout)
        if not reason:
            return row
    source.give_back(taken[1:])
    return DamagedRow(first, reason)


def _damage(row: Row, values: Sequence[str], layout: _Layout) -> str:
    columns = len(layout.header)
    if any(values[columns:]):
        return f"expected {columns} values, as in the header, got {len(values)}"
    for name in layout.unlike_rows:
        value = row.values.get(name, "")
        if layout.delimiter in value and set("\r\n") & set(value):
            return f"{name}: expected one value, got several lines: a quote is not closed"
    return ""


def _plain_reason(error: csv.Error) -> str:
    """Return the reason in plain words."""
    if "unexpected end of data" in str(error):
        return "expected CSV; a quote is not closed"
    if "expected after" in str(error):
        return "expected CSV; a quote is not closed, or a quote in a value is not doubled"
    return f"expected CSV; {error}"
