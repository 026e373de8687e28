"""Phrases from files, with the same limits as the service."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from core.errors import InvalidPhrase


def read_phrases(file: Path, column: str | None) -> Iterator[str]:
    """Yield a column of a CSV with a header, or the lines of a text file, in order.

    Raises `InvalidPhrase` for a file that is not UTF-8, not CSV, or lacks the column.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            if column is None:
                yield from (line.rstrip("\r\n") for line in lines)
                return
            reader = csv.DictReader(lines)
            if column not in (reader.fieldnames or []):
                raise InvalidPhrase(
                    f"a column {column} in {file.name}",
                    came=", ".join(reader.fieldnames or []),
                    do="name one of these",
                )
            yield from (row[column] or "" for row in reader)
    except UnicodeDecodeError as error:
        raise InvalidPhrase(
            f"UTF-8 in {file.name}", came=str(error), do="convert the file"
        ) from None
    except csv.Error as error:
        raise InvalidPhrase(
            f"CSV in {file.name}", came=str(error), do="correct the row, or remove it"
        ) from None


def checked_phrases(phrases: Iterable[str]) -> Iterator[str]:
    """Yield the phrases unchanged; raise `InvalidPhrase` for one that the service refuses."""
    from pipelines.model.text import MAX_PHRASE_LENGTH, clean_phrase

    for row, phrase in enumerate(phrases, start=1):
        if "\0" in phrase:
            raise InvalidPhrase(
                "text without NUL characters", came=f"one in row {row}", do="remove it"
            )
        if not _is_utf8(phrase):
            raise InvalidPhrase(
                "text in UTF-8", came=f"other bytes in row {row}", do="correct that phrase"
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


def _is_utf8(phrase: str) -> bool:
    """Return False for lone surrogates: Python decodes other bytes of the command line to them."""
    try:
        phrase.encode()
    except UnicodeEncodeError:
        return False
    return True
