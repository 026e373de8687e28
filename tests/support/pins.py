"""Pins for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from core.pins import Pin

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def pin_of(cleaned: str, label: str, number: int = 1, **changes: Any) -> Pin:
    """A pin of `organ` without an end."""
    values = {
        "id": number,
        "classifier": "organ",
        "cleaned": cleaned,
        "label": label,
        "since": MOMENT,
        "until": None,
        "author": "anna",
        "why": "test",
    }
    return Pin(**{**values, **changes})
