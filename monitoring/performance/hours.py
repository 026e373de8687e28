"""How many answers each classifier gave in each hour of a day, and how many were cached."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.tables.loop import asked_by_clients, inference

HOURS = 24
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Hours:
    """Answers of each of HOURS hours, oldest first, and of all of them the cached ones.

    `until` is the end of the newest day that has answers; None where that is the last day.
    """

    answers: tuple[int, ...]
    cached: int
    until: datetime | None = None

    @property
    def total(self) -> int:
        return sum(self.answers)

    @property
    def hit_rate(self) -> float | None:
        """Return the share of cached answers, None without answers."""
        return self.cached / self.total if self.total else None


NO_HOURS = Hours((0,) * HOURS, 0)


def newest_days(
    connection: Connection, classifiers: Iterable[str], *, now: datetime
) -> dict[str, Hours]:
    """Return classifier -> the newest day that has answers: without them the last one, empty.

    Load tests and shadows are left out.
    """
    last_day = answers_by_hour(connection, until=now)
    return {
        name: last_day[name] if name in last_day else _newest_day(connection, name, now)
        for name in classifiers
    }


def _newest_day(connection: Connection, classifier: str, now: datetime) -> Hours:
    query = sa.select(inference.c.occurred_at).where(
        *_of_clients(), inference.c.classifier == classifier, inference.c.occurred_at <= now
    )
    newest = connection.scalar(query.order_by(inference.c.occurred_at.desc()).limit(1))
    if newest is None:
        return NO_HOURS
    day = answers_by_hour(connection, until=newest, classifier=classifier)[classifier]
    return replace(day, until=newest)


def answers_by_hour(
    connection: Connection, *, until: datetime, classifier: str | None = None
) -> dict[str, Hours]:
    """Return classifier -> the HOURS hours up to a moment; one or all with answers then."""
    since = until - HOURS * HOUR
    number = sa.func.floor(
        sa.func.extract("epoch", inference.c.occurred_at - since) / HOUR.total_seconds()
    )
    query = (
        sa.select(
            inference.c.classifier,
            sa.cast(number, sa.Integer),
            sa.func.count(),
            sa.func.count().filter(inference.c.cached),
        )
        .where(
            *_of_clients(),
            inference.c.occurred_at > since,
            inference.c.occurred_at <= until,
            sa.true() if classifier is None else inference.c.classifier == classifier,
        )
        .group_by(inference.c.classifier, number)
    )
    counts: dict[str, list[int]] = defaultdict(lambda: [0] * HOURS)
    cached: dict[str, int] = defaultdict(int)
    for name, hour, answers, hits in connection.execute(query):
        counts[name][min(hour, HOURS - 1)] += answers
        cached[name] += hits
    return {name: Hours(tuple(hours), cached[name]) for name, hours in counts.items()}


def _of_clients() -> tuple[sa.ColumnElement[bool], ...]:
    return inference.c.role != "shadow", asked_by_clients()
