"""Prodigy: JSON lines with `text`, its options and those that were accepted.

Written for the interface `choice`; read from it and from the binary one of text classification.
Prodigy carries all other values of a line through.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from monitoring.tasks.records import Record, Refusal, json_lines
from monitoring.tasks.task import OF_THE_LABEL, Task, record_of

ANSWERS = ("accept", "reject", "ignore")
ANNOTATOR = "_annotator_id"
TIMESTAMP = "_timestamp"
PREDICTED = "predicted"
"""The answer of the log: `answer` is what Prodigy calls the decision."""


def write_prodigy(tasks: Iterable[Task], labels: Sequence[str]) -> Iterator[str]:
    """Yield one object per line, with all labels as options; without any, the likeliest ones."""
    for task in tasks:
        yield json.dumps(_document(task, labels), ensure_ascii=False) + "\n"


def read_prodigy(lines: TextIO) -> Iterator[Record | Refusal]:
    """Yield the record of every line. Rejected and ignored lines have no label."""
    for line in json_lines(lines):
        yield line if isinstance(line, Refusal) else _record(line)


def _document(task: Task, labels: Sequence[str]) -> dict[str, Any]:
    record = record_of(task)
    for name in OF_THE_LABEL:
        record.pop(name, None)
    if "answer" in record:
        record[PREDICTED] = record.pop("answer")
    likely = [task.answer, *(label for label, _ in task.alternatives), task.label]
    options = dict.fromkeys(label for label in (labels or likely) if label)
    document = {
        "text": record.pop("phrase"),
        "options": [{"id": label, "text": label} for label in options],
        **record,
    }
    if task.label is not None:
        document |= {"accept": [task.label], "answer": "accept", ANNOTATOR: task.author}
    if task.label is not None and task.received_at is not None:
        document[TIMESTAMP] = task.received_at.timestamp()
    return document


def _record(line: Record) -> Record | Refusal:
    decision = line.values.get("answer")
    if decision is not None and decision not in ANSWERS:
        return Refusal(line.row, f"answer: expected one of {', '.join(ANSWERS)}")
    accepted = line.values.get("accept", [line.values.get("label")])
    if not isinstance(accepted, list):
        return Refusal(line.row, "accept: expected a list of labels")
    if decision == "accept" and len(accepted) > 1:
        return Refusal(line.row, f"accept: expected one label, got {len(accepted)}")
    label = accepted[0] if decision == "accept" and accepted else None
    return _dated(line, {"label": label, "author": line.values.get(ANNOTATOR)})


def _dated(line: Record, given: Mapping[str, Any]) -> Record | Refusal:
    moment = line.values.get(TIMESTAMP)
    try:
        received_at = None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat()
    except (TypeError, ValueError, OverflowError, OSError):
        return Refusal(line.row, f"{TIMESTAMP}: expected seconds since 1970")
    values = {
        **line.values,
        **given,
        "received_at": received_at if given["label"] else None,
        "answer": line.values.get(PREDICTED),
        "phrase": line.values.get("text"),
    }
    return Record(line.row, values)
