"""The windows of a classifier along time, with what people said of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.tables.drift_reviews import drift_review
from core.tables.loop import drift_report
from monitoring.drift.reviews import Review, newest_reviews
from monitoring.windows.cutting import Window

WINDOWS_SHOWN = 120


@dataclass(frozen=True)
class SeenWindow:
    """One window by arrival; `labels` is the sum of bets in thresholds, None where not tested.

    `sample` says what `rows` are a sample of, "" where all answers were read. `refused` is the
    share of its answers that said "none of these", None where that is not known.
    """

    number: int
    start: datetime
    end: datetime
    rows: int
    version: str
    verdict: str
    alarms: tuple[str, ...]
    statistics: Mapping[str, Mapping[str, float]]
    labels: float | None
    review: Review | None
    refused: float | None = None
    sample: str = ""

    @property
    def limit(self) -> float | None:
        return next((entry.get("limit") for entry in self.statistics.values()), None)


def seen_windows(connection: Connection, classifier: str) -> list[SeenWindow]:
    """Return the newest WINDOWS_SHOWN windows, oldest first."""
    table = drift_report.c
    query = (
        sa.select(
            table.window_number,
            table.window_start,
            table.window_end,
            table.rows,
            table.first_sequence,
            table.last_sequence,
            table.answers,
            table.version,
            table.verdict,
            table.alarms,
            table.statistics,
            table.evidence["label_test"].label("label_test"),
            table.evidence["abstained_share"].as_float().label("refused"),
        )
        .where(table.classifier == classifier, table.first_sequence.is_not(None))
        .order_by(table.window_number.desc())
        .limit(WINDOWS_SHOWN)
    )
    reviews = newest_reviews(connection, classifier)
    return [_seen(row, reviews) for row in reversed(connection.execute(query).all())]


def _seen(row: sa.Row[Any], reviews: Mapping[int, Review]) -> SeenWindow:
    return SeenWindow(
        row.window_number,
        row.window_start,
        row.window_end,
        row.rows,
        row.version,
        row.verdict,
        tuple(row.alarms),
        row.statistics,
        _in_thresholds(row.label_test),
        reviews.get(row.window_number),
        row.refused,
        _window(row).sample,
    )


def _window(row: sa.Row[Any]) -> Window:
    return Window(row.window_number, row.first_sequence, row.last_sequence, row.answers, row.rows)


def _in_thresholds(label_test: Mapping[str, float] | None) -> float | None:
    if not label_test or not label_test["threshold"]:
        return None
    return min(label_test["sum_of_bets"] / label_test["threshold"], 1.0)


def window_reviews(connection: Connection, classifier: str, window: int) -> list[Review]:
    """Return all reviews of a window, newest first."""
    table = drift_review.c
    query = (
        sa.select(table.window_number, table.verdict, table.author, table.note, table.reviewed_at)
        .where(table.classifier == classifier, table.window_number == window)
        .order_by(table.id.desc())
    )
    return [Review(*row) for row in connection.execute(query)]


def stored_report(path: str, *, reports: Path) -> Path | None:
    """Return the page of a window where it is a file below `reports`; None otherwise."""
    page = Path(path)
    try:
        inside = page.resolve().is_relative_to(reports.resolve())
        return page if inside and page.suffix == ".html" and page.is_file() else None
    except (OSError, ValueError):
        return None
