"""What people say of a drift window: real, expected, harmless, or a fault of the data."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.tables.drift_reviews import drift_review
from core.tables.loop import drift_report
from monitoring.drift.calling import HARMLESS
from monitoring.windows.reports import DriftReport
from monitoring.windows.statistics import STATISTICS

REAL = "real"
EXPECTED = "expected"
FAULT = "fault"
ANSWERS = (REAL, EXPECTED, HARMLESS, FAULT)


@dataclass(frozen=True)
class Review:
    """The answer of `author` about a window; `verdict` is one of ANSWERS."""

    window: int
    verdict: str
    author: str
    note: str
    reviewed_at: datetime

    @property
    def sentence(self) -> str:
        verdict = "a fault of the data" if self.verdict == FAULT else self.verdict
        return f"{self.author} called window {self.window} {verdict}"


def append_review(
    connection: Connection, review: Review, report: DriftReport, *, classifier: str
) -> None:
    """Store a review of a window by arrival. The caller commits."""
    assert report.window is not None, "windows of earlier releases are not reviewed"
    connection.execute(
        drift_review.insert().values(
            reviewed_at=review.reviewed_at,
            classifier=classifier,
            window_number=review.window,
            first_sequence=report.window.first,
            last_sequence=report.window.last,
            author=review.author,
            verdict=review.verdict,
            note=review.note,
        )
    )


def newest_reviews(connection: Connection, classifier: str) -> dict[int, Review]:
    """Return window number -> the review that holds: the newest one."""
    table = drift_review.c
    query = (
        sa.select(table.window_number, table.verdict, table.author, table.note, table.reviewed_at)
        .distinct(table.window_number)
        .where(table.classifier == classifier)
        .order_by(table.window_number, table.id.desc())
    )
    return {row[0]: Review(*row) for row in connection.execute(query)}


def reviewed_as(reviews: Mapping[int, Review], *verdicts: str) -> set[int]:
    """Return the windows whose review is one of `verdicts`."""
    return {number for number, review in reviews.items() if review.verdict in verdicts}


def calling_window(kind: str, evidence: Mapping[str, Any]) -> int | None:
    """Return the window that called: the newest of its kind, or the one whose labels came.

    None for a call by labels.
    """
    if "due" in evidence:
        return int(evidence["due"]["window"])
    called = [
        int(row["number"]) for row in evidence.get("windows", ()) if row.get("verdict") == kind
    ]
    return max(called, default=None)


@dataclass(frozen=True)
class Precision:
    """How many of the reviewed alarms of a statistic people called real."""

    statistic: str
    real: int
    reviewed: int

    @property
    def share(self) -> float | None:
        return self.real / self.reviewed if self.reviewed else None


def alarm_precision(connection: Connection, classifier: str) -> list[Precision]:
    """Return one row per statistic, over all reviewed windows of a classifier that alarmed."""
    reviews = newest_reviews(connection, classifier)
    table = drift_report.c
    query = sa.select(table.window_number, table.alarms).where(
        table.classifier == classifier,
        table.first_sequence.is_not(None),
        table.window_number.in_(reviews),
    )
    alarmed = {row.window_number: row.alarms for row in connection.execute(query)}
    return [_precision(name, alarmed, reviews) for name in STATISTICS]


def _precision(
    statistic: str, alarmed: Mapping[int, Collection[str]], reviews: Mapping[int, Review]
) -> Precision:
    reviewed = [reviews[number] for number, alarms in alarmed.items() if statistic in alarms]
    return Precision(statistic, sum(review.verdict == REAL for review in reviewed), len(reviewed))
