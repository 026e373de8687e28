"""Phrases from files, with the same limits as the service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from core.csv_files import DamagedRow, HeaderUnusable, is_unicode, open_text, read_rows
from core.errors import InvalidPhrase


def read_phrases(file: Path, column: str | None) -> Iterator[str]:
    """Yield a column of a CSV with a header, or the lines of a text file, in order.

    Raises `InvalidPhrase` for a CSV that lacks the column, and for a row that cannot be read.
    """
    with open_text(file) as lines:
        if column is None:
            yield from (line.rstrip("\r\n") for line in lines)
            return
        try:
            for row in read_rows(lines, needed=[column]):
                if isinstance(row, DamagedRow):
                    raise _damaged(file, row.line, row.reason)
                if not is_unicode(row.values.get(column, "")):
                    raise _damaged(file, row.line, "bytes that are not UTF-8")
                yield row.values.get(column, "")
        except HeaderUnusable as error:
            raise InvalidPhrase(
                f"a column {column} in {file.name}", came=str(error), do="name one of its columns"
            ) from None


def _damaged(file: Path, line: int, reason: str) -> InvalidPhrase:
    return InvalidPhrase(
        f"CSV in UTF-8 in {file.name}",
        came=f"line {line}: {reason}",
        do="correct that line, or save the file as UTF-8",
    )


def checked_phrases(phrases: Iterable[str]) -> Iterator[str]:
    """Yield the phrases unchanged; raise `InvalidPhrase` for one that the service refuses."""
    from pipelines.model.text import MAX_PHRASE_LENGTH, clean_phrase

    for row, phrase in enumerate(phrases, start=1):
        if "\0" in phrase:
            raise InvalidPhrase(
                "text without NUL characters", came=f"one in row {row}", do="remove it"
            )
        if not is_unicode(phrase):
            raise InvalidPhrase(
                "text in UTF-8", came=f"other bytes in row {row}", do="save the file as UTF-8"
            )
        if not clean_phrase(phrase):
            raise InvalidPhrase(
                "a phrase with at least one character",
                came=f"a blank one in row {row}",
                do="remove that row",
            )
        if len(phrase) > MAX_PHRASE_LENGTH:
            raise InvalidPhrase(
                f"at most {MAX_PHRASE_LENGTH} characters",
                came=f"{len(phrase)} in row {row}",
                do="shorten that phrase",
            )
        yield phrase
