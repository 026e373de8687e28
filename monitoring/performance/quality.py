"""Live quality in one line: what labels and confidence say of a version, or of a period."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from core.tables.answers import ROUTED
from core.tables.loop import asked_by_clients, inference
from monitoring.performance.answer_counts import count_answers
from monitoring.performance.estimates import Estimate, estimate_accuracy
from monitoring.performance.figures import label_codes, measure_by, sample_of
from monitoring.performance.judged_answers import JudgedAnswer, newest_judged
from monitoring.performance.periods import Period

Interval = Literal["day", "week", "month"]
RECENT = timedelta(days=90)
"""Labels are often a month late."""
ESTIMATED = 10_000
"""Newest answers that estimate a version: the mean confidence of so many is known to .005."""


@dataclass(frozen=True)
class Quality:
    """Answers of one version in the period that begins at `since`, and what is known of them.

    `labelled` have feedback, and `right` of them agree with it. People may look at wrong answers
    first, so only the `sampled` ones stand for all: `sampled_accuracy` with its 95 % interval,
    None without any. `estimated_accuracy` is the mean confidence, and `abstained` answers said
    "none of these".
    """

    since: datetime
    version: str
    answers: int
    estimated_accuracy: float
    labelled: int
    right: int
    sampled: int
    sampled_accuracy: float | None
    sampled_low: float | None
    sampled_high: float | None
    abstained: int = 0


def quality_over_time(
    engine: Engine,
    *,
    classifier: str,
    period: Interval = "week",
    since: datetime | None = None,
    now: datetime,
) -> list[Quality]:
    """Return one row per period in UTC and version with answers, oldest first.

    `since` is taken to the beginning of its day.
    """
    counted = count_answers(engine, classifier, now=now)
    with engine.connect() as connection:
        rows = measure_by(
            connection,
            classifier,
            by=(period, "version"),
            period=Period(since.astimezone(UTC).date() if since else None),
            counted=counted.until,
        )
    return [
        Quality(
            datetime.fromisoformat(row.group[0]).replace(tzinfo=UTC),
            row.group[1],
            row.answers,
            row.estimated_accuracy or 0.0,
            row.labelled,
            row.right,
            row.sampled,
            *_numbers(row.accuracy if row.basis == "sample" else None),
            abstained=row.abstained,
        )
        for row in rows
    ]


def recent_quality(connection: Connection, *, classifier: str, version: str) -> Quality | None:
    """Return the quality of the answers within RECENT of the version's newest one.

    `answers` and `estimated_accuracy` are those of the newest ESTIMATED. The newest labels count.
    """
    of_version = (inference.c.classifier == classifier, inference.c.version == version)
    newest = connection.scalar(sa.select(sa.func.max(inference.c.occurred_at)).where(*of_version))
    if newest is None:
        return None
    since = newest - RECENT
    recent = (*of_version, inference.c.occurred_at > since, *_routed())
    confidence = sa.select(inference.c.probability).where(*recent)
    estimated = confidence.order_by(inference.c.occurred_at.desc()).limit(ESTIMATED).subquery()
    answers, mean = connection.execute(
        sa.select(sa.func.count(), sa.func.avg(estimated.c.probability))
    ).one()
    if not answers:
        return None

    judged = newest_judged(connection, classifier, version=version, since=since)
    drawn = [answer for answer in judged if answer.drawn is not None]
    return Quality(
        since,
        version,
        answers,
        mean,
        len(judged),
        sum(answer.agrees for answer in judged),
        len(drawn),
        *_numbers(_accuracy(drawn, answers, mean)),
    )


def answers_since(connection: Connection, *, classifier: str, since: datetime) -> int:
    """Count the answers of a classifier since a moment, without those of load tests."""
    query = sa.select(sa.func.count()).select_from(inference)
    counted = query.where(
        inference.c.classifier == classifier,
        inference.c.occurred_at >= since,
        *_routed(),
    )
    return int(connection.scalar(counted) or 0)


def _accuracy(drawn: list[JudgedAnswer], answers: int, mean: float) -> Estimate | None:
    """Estimate the accuracy of all recent answers; `answers` may be the newest of them only."""
    stood_for = round(sum(1 / answer.drawn for answer in drawn if answer.drawn))
    size = max(answers, stood_for)
    return estimate_accuracy(sample_of(drawn, label_codes(drawn), size=size, mean_probability=mean))


def _numbers(estimate: Estimate | None) -> tuple[float | None, float | None, float | None]:
    return (estimate.value, estimate.low, estimate.high) if estimate else (None, None, None)


def _routed() -> tuple[sa.ColumnElement[bool], ...]:
    """Restrict answers to those that clients got by their route."""
    return inference.c.role.in_(ROUTED), asked_by_clients()
