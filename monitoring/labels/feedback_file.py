"""Reads files of labels: each line is a row of feedback or a refusal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from core.feedback import KINDS, FeedbackRow, sample_probability
from monitoring.tasks.flat import NEEDED
from monitoring.tasks.formats import FormatName, read_records
from monitoring.tasks.records import Record, Refusal, unusable, utc_moment

__all__ = ["Line", "Refusal", "Unlabelled", "read_feedback_file", "read_labels"]
JSON_LINES = frozenset({".jsonl", ".ndjson", ".json"})


@dataclass(frozen=True)
class Unlabelled:
    """A task that nobody has labelled yet; `request_id` is None where the file names none."""

    row: int
    request_id: str | None = field(default=None, compare=False)


Line = FeedbackRow | Refusal | Unlabelled


def read_feedback_file(file: Path) -> Iterator[FeedbackRow | Refusal]:
    """Yield the rows in the order of the file; a row without a label is refused.

    `.jsonl`, `.ndjson` and `.json` hold JSON lines, every other file is CSV. Raises
    `InvalidFeedback` when the file cannot be opened, or a CSV lacks a needed column or has one
    twice.
    """
    is_json = file.suffix.lower() in JSON_LINES
    for record in read_records(file, "jsonl" if is_json else "csv"):
        yield record if isinstance(record, Refusal) else _row(record)


def read_labels(file: Path, name: FormatName, *, author: str | None = None) -> Iterator[Line]:
    """Yield what a file of tasks holds, in its order; see `read_records`.

    `author` is the author of labels whose file does not say who gave them.
    """
    for record in read_records(file, name):
        if isinstance(record, Refusal):
            yield record
        elif not record.values.get("label"):
            request_id = record.values.get("request_id")
            yield Unlabelled(record.row, None if unusable(request_id) else request_id)
        else:
            given = record.values.get("author") or author
            yield _row(Record(record.row, {**record.values, "author": given}))


def _row(record: Record) -> FeedbackRow | Refusal:
    number = record.row
    fields = record.values
    for name in NEEDED:
        if reason := unusable(fields.get(name)):
            return Refusal(number, f"{name}: {reason}")

    try:
        moment = utc_moment(fields.get("received_at"))
    except (TypeError, ValueError, OverflowError):
        return Refusal(number, "received_at: expected ISO 8601, such as 2026-01-31T08:00:00Z")

    kind = fields.get("kind") or "unknown"
    if kind not in KINDS:
        return Refusal(number, f"kind: expected one of {', '.join(KINDS)}")
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
