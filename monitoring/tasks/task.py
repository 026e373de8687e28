"""A logged answer to label, as a value, and the record of it that every format carries."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from core.feedback import KINDS, sample_probability
from monitoring.tasks.records import Record, Refusal, unusable, utc_moment

Alternatives = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Task:
    """A logged answer that people are to label, or one label that somebody gave it.

    `kind` and `probability` are those of feedback: why people look, and how likely a sample was to
    be drawn. `label`, `author` and `received_at` are None while nobody has labelled it.
    """

    request_id: str
    phrase: str
    label: str | None = None
    author: str | None = None
    received_at: datetime | None = None
    kind: str = "unknown"
    probability: float | None = None
    classifier: str | None = None
    version: str | None = None
    answer: str | None = None
    confidence: float | None = None
    alternatives: Alternatives = ()
    answered_at: datetime | None = None
    region: str | None = None


COLUMNS = tuple(field.name for field in fields(Task))
OF_THE_LABEL = ("label", "author", "received_at")
"""The values that a tool keeps in its own way; it carries all others beside the phrase."""


def record_of(task: Task) -> dict[str, Any]:
    """Return the values of a task that are set, as JSON holds them."""
    values = {name: getattr(task, name) for name in COLUMNS}
    plain = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
        if value is not None and value != ()
    }
    if task.alternatives:
        plain["alternatives"] = [list(pair) for pair in task.alternatives]
    return plain


def read_task(record: Record) -> Task | Refusal:
    """Return the task of a record; a refusal names the first value that cannot be used."""
    values: dict[str, Any] = {}
    for name, read in READERS.items():
        try:
            values[name] = read(record.values.get(name))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            return Refusal(record.row, f"{name}: {error}")
    try:
        values["probability"] = sample_probability(record.values.get("probability"), values["kind"])
    except (TypeError, ValueError) as error:
        return Refusal(record.row, f"probability: {error}")
    return Task(**values)


def _text(value: object) -> str:
    if reason := unusable(value):
        raise ValueError(reason)
    return str(value)


def _label(value: object) -> str:
    return _text(value).strip()


def _moment(value: object) -> datetime | None:
    try:
        return utc_moment(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("wanted ISO 8601, such as 2026-01-31T08:00:00Z") from None


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("wanted a number in [0, 1]")
    share = float(value)
    if not 0 <= share <= 1 or math.isnan(share):
        raise ValueError(f"wanted a number in [0, 1]; came {value}")
    return share


def _alternatives(value: object) -> Alternatives:
    listed = json.loads(value) if isinstance(value, str) else value  # JSON within CSV
    if not isinstance(listed, list):
        raise ValueError("wanted a list of labels with their probabilities")
    for pair in listed:
        if not isinstance(pair, list) or len(pair) != 2:
            raise ValueError("wanted pairs of a label and its probability")
    return tuple((_text(label), _share(probability)) for label, probability in listed)


def _kind(value: object) -> str:
    if value not in KINDS:
        raise ValueError(f"wanted one of {', '.join(KINDS)}")
    return str(value)


def _unless_missing(read: Callable[[Any], Any], otherwise: Any = None) -> Callable[[Any], Any]:
    def read_unless_missing(value: Any) -> Any:
        return otherwise if value is None or value == "" else read(value)

    return read_unless_missing


READERS: Mapping[str, Callable[[Any], Any]] = {
    "request_id": _label,
    "phrase": _text,
    "label": _unless_missing(_label),
    "author": _unless_missing(_label),
    "received_at": _moment,
    "kind": _unless_missing(_kind, "unknown"),
    "classifier": _unless_missing(_text),
    "version": _unless_missing(_text),
    "answer": _unless_missing(_text),
    "confidence": _unless_missing(_share),
    "alternatives": _unless_missing(_alternatives, ()),
    "answered_at": _moment,
    "region": _unless_missing(_text),
}
