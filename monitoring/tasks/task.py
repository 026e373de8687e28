"""A logged answer to label, as a value, and the record of it that every format carries."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any


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
    alternatives: tuple[tuple[str, float], ...] = ()
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
