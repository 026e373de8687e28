"""Reads files of feedback, CSV with a header or JSON lines: each line is a row or a refusal."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from core.errors import InvalidFeedback
from core.feedback import KINDS, FeedbackRow, sample_probability

NEEDED = ("request_id", "label", "author")
JSON_LINES = frozenset({".jsonl", ".ndjson", ".json"})


@dataclass(frozen=True)
class Refusal:
    """A line that was refused, and why."""

    row: int
    reason: str


def read_feedback_file(file: Path) -> Iterator[FeedbackRow | Refusal]:
    """Yield the rows in the order of the file.

    `.jsonl`, `.ndjson` and `.json` hold JSON lines, every other file is CSV. Raises
    `InvalidFeedback` when the file cannot be opened or a CSV lacks a needed column.
    """
    try:
        with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            is_json = file.suffix.lower() in JSON_LINES
            yield from _json_lines(lines) if is_json else _csv_lines(lines)
    except OSError as error:
        raise InvalidFeedback(
            "a readable file",
            came=f"{file.name}: {error.strerror}",
            do="name a CSV or JSON-lines file",
        ) from None


def _json_lines(lines: TextIO) -> Iterator[FeedbackRow | Refusal]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _json_line(number, line)


def _json_line(number: int, line: str) -> FeedbackRow | Refusal:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Refusal(number, f"wanted JSON; {error}")
    if not isinstance(fields, dict):
        return Refusal(number, f"wanted an object; came {type(fields).__name__}")
    return _row(number, fields)


def _csv_lines(lines: TextIO) -> Iterator[FeedbackRow | Refusal]:
    reader = csv.DictReader((line.replace("\0", "\ufffd") for line in lines), strict=False)
    missing = [name for name in NEEDED if name not in _header(reader)]
    if missing:
        came = f"a header without {', '.join(missing)}"
        raise InvalidFeedback(
            f"the columns {', '.join(NEEDED)}", came=came, do="name the columns in line 1"
        )
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Refusal(reader.line_num, f"wanted CSV; {error}")
            continue
        yield _row(reader.line_num, fields)


def _header(reader: csv.DictReader[str]) -> Sequence[str]:
    try:
        return reader.fieldnames or ()
    except csv.Error as error:
        raise InvalidFeedback(
            "a header in line 1", came=str(error), do="name a CSV or JSON-lines file"
        ) from None


def _row(number: int, fields: Mapping[str, Any]) -> FeedbackRow | Refusal:
    for name in NEEDED:
        if reason := _unusable(fields.get(name)):
            return Refusal(number, f"{name}: {reason}")
    try:
        moment = _moment(fields.get("received_at"))
    except (TypeError, ValueError, OverflowError):
        return Refusal(number, "received_at: wanted ISO 8601, such as 2026-01-31T08:00:00Z")
    kind = fields.get("kind") or "unknown"
    if kind not in KINDS:
        return Refusal(number, f"kind: wanted one of {', '.join(KINDS)}")
    try:
        probability = sample_probability(fields.get("probability"), kind)
    except (TypeError, ValueError) as error:
        return Refusal(number, f"probability: {error}")
    return FeedbackRow(
        number,
        fields["request_id"].strip(),
        fields["label"].strip(),
        fields["author"].strip(),
        moment,
        kind=kind,
        probability=probability,
    )


def _unusable(value: object) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return "wanted a text that is not empty"
    if "\0" in value or "\ufffd" in value:
        return "wanted a text without NUL"
    return None if value.isascii() or _is_unicode(value) else "wanted UTF-8"


def _is_unicode(value: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _moment(value: object) -> datetime | None:
    """Read an ISO 8601 time; one without a zone is UTC."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise TypeError(value)
    moment = datetime.fromisoformat(value)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
