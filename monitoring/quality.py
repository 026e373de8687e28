"""Live quality over time: what labels and confidence say of the answers of each period."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.pin_tables import says_more_than_the_pin
from core.tables import asked_by_clients, inference
from monitoring.feedback import newest_feedback

Period = Literal["day", "week", "month"]
ROUTED = ("champion", "canary")
"""The roles that answer clients who do not name a version."""
RECENT = timedelta(days=90)
"""Labels are often a month late."""
ESTIMATED = 10_000
"""Newest answers that estimate a version: the mean confidence of so many is known to .005."""


@dataclass(frozen=True)
class Quality:
    """Answers of one version in the period that begins at `since`, and what is known of them.

    `labelled` have feedback, and `right` of them agree with it. People may look at wrong answers
    first, so only the `sampled` ones stand for all: `sampled_accuracy` weighs them by the
    probability of being sampled, None without any. `estimated_accuracy` is the mean confidence.
    """

    since: datetime
    version: str
    answers: int
    estimated_accuracy: float
    labelled: int
    right: int
    sampled: int
    sampled_accuracy: float | None


def quality_over_time(
    connection: Connection,
    *,
    classifier: str,
    period: Period = "week",
    since: datetime | None = None,
) -> list[Quality]:
    """Return one row per period in UTC and version with answers, oldest first."""
    start = sa.func.date_trunc(period, inference.c.occurred_at, "UTC")
    query = _measured(start).where(inference.c.classifier == classifier)
    if since is not None:
        query = query.where(inference.c.occurred_at >= since)
    query = query.group_by(start, inference.c.version).order_by(start, inference.c.version)
    return [Quality(*row) for row in connection.execute(query)]


def recent_quality(connection: Connection, *, classifier: str, version: str) -> Quality | None:
    """Return the quality of the answers within RECENT of the version's newest one.

    `answers` and `estimated_accuracy` are those of the newest ESTIMATED; all labels count.
    """
    mine = (inference.c.classifier == classifier, inference.c.version == version)
    newest = connection.scalar(sa.select(sa.func.max(inference.c.occurred_at)).where(*mine))
    if newest is None:
        return None
    since = newest - RECENT
    recent = (*mine, inference.c.occurred_at > since, *_routed())
    confidence = sa.select(inference.c.probability).where(*recent)
    estimated = confidence.order_by(inference.c.occurred_at.desc()).limit(ESTIMATED).subquery()
    answers, accuracy = connection.execute(
        sa.select(sa.func.count(), sa.func.avg(estimated.c.probability))
    ).one()
    if not answers:
        return None

    label = newest_feedback()
    labelled = inference.join(label, _labels_the_answer(label))
    query = sa.select(*_labels(label)).select_from(labelled).where(*recent)
    return Quality(since, version, answers, accuracy, *connection.execute(query).one())


def answers_since(connection: Connection, *, classifier: str, since: datetime) -> int:
    """Count the answers of a classifier since a moment, without those of load tests."""
    query = sa.select(sa.func.count()).select_from(inference)
    counted = query.where(
        inference.c.classifier == classifier,
        inference.c.occurred_at >= since,
        *_routed(),
    )
    return int(connection.scalar(counted) or 0)


def _measured(start: sa.ColumnElement[datetime]) -> sa.Select[tuple[object, ...]]:
    """Select the columns of `Quality` from the answers and their newest labels."""
    newest = newest_feedback()
    joined = inference.outerjoin(newest, _labels_the_answer(newest))
    columns = (
        start.label("since"),
        inference.c.version,
        sa.func.count(),
        sa.func.avg(inference.c.probability),
        *_labels(newest),
    )
    return sa.select(*columns).select_from(joined).where(*_routed())


def _labels_the_answer(newest: sa.Subquery) -> sa.ColumnElement[bool]:
    """Join an answer with its label, unless that only repeats its pin."""
    return sa.and_(
        newest.c.request_id == inference.c.request_id,
        says_more_than_the_pin(inference, sa.func.btrim(newest.c.label)),
    )


def _labels(newest: sa.Subquery) -> tuple[sa.ColumnElement[Any], ...]:
    """Select the last four columns of `Quality` from answers joined with their newest labels."""
    is_right = newest.c.label == inference.c.label
    is_sample = newest.c.kind == "sample"
    weight = 1 / newest.c.probability
    return (
        sa.func.count(newest.c.id),
        sa.func.count().filter(is_right),
        sa.func.count().filter(is_sample),
        sa.func.sum(weight).filter(is_sample, is_right) / sa.func.sum(weight).filter(is_sample),
    )


def _routed() -> tuple[sa.ColumnElement[bool], ...]:
    """Restrict answers to those that clients got by their route."""
    return inference.c.role.in_(ROUTED), asked_by_clients()
