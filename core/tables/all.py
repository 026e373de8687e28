"""Every table of Perennial's own database: what migrations make."""

from __future__ import annotations

from core.tables import (  # noqa: F401  # their tables join the same metadata
    answers,
    console,
    drift_reviews,
    fixes,
    labels,
    phrases,
    pins,
    review,
    review_draws,
)
from core.tables.loop import metadata

__all__ = ["metadata"]
