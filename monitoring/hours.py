"""How many answers each classifier gave in each of the last hours, and how many were cached."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.tables import asked_by_clients, inference

HOURS = 24
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Hours:
    """Answers of each of the last HOURS hours, oldest first, and of all of them the cached ones."""

    answers: tuple[int, ...]
    cached: int

    @property
    def total(self) -> int:
        return sum(self.answers)

    @property
    def hit_rate(self) -> float | None:
        """Return the share of cached answers, None without answers."""
        return self.cached / self.total if self.total else None


NO_HOURS = Hours((0,) * HOURS, 0)


def answers_by_hour(connection: Connection, *, now: datetime) -> Mapping[str, Hours]:
    """Return classifier -> its last HOURS hours, without load tests and shadows."""
    since = now - HOURS * HOUR
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
            inference.c.occurred_at > since,
            inference.c.occurred_at <= now,
            inference.c.role != "shadow",
            asked_by_clients(),
        )
        .group_by(inference.c.classifier, number)
    )
    counts: dict[str, list[int]] = defaultdict(lambda: [0] * HOURS)
    cached: dict[str, int] = defaultdict(int)
    for classifier, hour, answers, hits in connection.execute(query):
        counts[classifier][min(hour, HOURS - 1)] += answers
        cached[classifier] += hits
    return {name: Hours(tuple(hours), cached[name]) for name, hours in counts.items()}
