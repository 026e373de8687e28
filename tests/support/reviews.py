"""Items of the review queue."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from monitoring.review.items import ReviewItem


def item(number: int, **changes: Any) -> ReviewItem:
    """Return an item of `organ`; the lower its number, the sooner it comes."""
    values = {
        "classifier": "organ",
        "phrase": f"Phrase {number}",
        "cleaned": f"phrase {number}",
        "request_id": f"request-{number}",
        "version": "1",
        "label": "heart",
        "confidence": 0.5,
        "alternatives": [("lung", 0.3), ("liver", 0.1), ("kidney", 0.06), ("spleen", 0.04)],
        "occurred_at": datetime(2026, 2, 1, tzinfo=UTC),
        "strategy": "low_confidence",
        "score": -float(number),
    }
    return ReviewItem(**{**values, **changes})
