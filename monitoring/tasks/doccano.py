"""doccano: JSON lines with `text` and a list of labels, for projects of text classification.

doccano carries all other values of a line through. It does not say who labelled: the file of one
person has their name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from monitoring.tasks.records import Record, Refusal, json_lines
from monitoring.tasks.task import Task, record_of


def write_doccano(tasks: Iterable[Task], _labels: Sequence[str]) -> Iterator[str]:
    """Yield one object per line."""
    for task in tasks:
        record = record_of(task)
        document = {"text": record.pop("phrase"), "label": [task.label] if task.label else []}
        record.pop("label", None)
        yield json.dumps({**document, **record}, ensure_ascii=False) + "\n"


def read_doccano(lines: TextIO) -> Iterator[Record | Refusal]:
    """Yield the record of every line."""
    for line in json_lines(lines):
        yield line if isinstance(line, Refusal) else _record(line)


def _record(line: Record) -> Record | Refusal:
    labels = line.values.get("label", [])
    labels = [labels] if isinstance(labels, str) else labels
    meta = line.values.get("meta") or {}  # where older versions put all other values
    if not isinstance(labels, list) or not isinstance(meta, dict):
        return Refusal(line.row, "expected a list `label`, and an object `meta` if any")
    if len(labels) > 1:
        return Refusal(line.row, f"label: expected one, got {len(labels)}")
    values = {**meta, **line.values, "phrase": line.values.get("text")}
    return Record(line.row, {**values, "label": labels[0] if labels else None})
