"""Answers in windows that a person called a fault of the data: neither normal nor training rows."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.tables.drift_reviews import drift_review
from monitoring.drift.reviews import FAULT


def is_faulty(answer: sa.FromClause, *, as_of: datetime | None = None) -> sa.ColumnElement[bool]:
    """Return the condition for rows of the log that lie in a faulty window.

    Only reviews up to `as_of` count, so that a snapshot or a memory can be made again; None for
    all. Rows without a sequence number, such as examples, are not faulty.
    """
    newest = (
        sa.select(drift_review)
        .distinct(drift_review.c.classifier, drift_review.c.window_number)
        .where(sa.true() if as_of is None else drift_review.c.reviewed_at <= as_of)
        .order_by(drift_review.c.classifier, drift_review.c.window_number, drift_review.c.id.desc())
        .subquery()
    )
    return sa.exists().where(
        newest.c.verdict == FAULT,
        newest.c.classifier == answer.c.classifier,
        answer.c.sequence.between(newest.c.first_sequence, newest.c.last_sequence),
    )


def has_faults(connection: Connection, classifier: str) -> bool:
    """Return whether anybody ever called a window of the classifier a fault."""
    query = sa.exists().where(
        drift_review.c.classifier == classifier, drift_review.c.verdict == FAULT
    )
    return bool(connection.scalar(sa.select(query)))


def faults_changed(
    connection: Connection, classifier: str, *, since: datetime, until: datetime
) -> bool:
    """Return whether a window became faulty, or no longer is, in between."""
    earlier = drift_review.alias()
    was_faulty = sa.exists().where(
        earlier.c.classifier == drift_review.c.classifier,
        earlier.c.window_number == drift_review.c.window_number,
        earlier.c.id <= drift_review.c.id,
        earlier.c.verdict == FAULT,
    )
    query = sa.select(
        sa.exists().where(
            drift_review.c.classifier == classifier,
            drift_review.c.reviewed_at > since,
            drift_review.c.reviewed_at <= until,
            was_faulty,
        )
    )
    return bool(connection.scalar(query))
