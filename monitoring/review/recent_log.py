"""The recent answers of a classifier, by a bounded read: all of them, or evenly spread stretches.

A week of a million answers a day has 7 million rows; READ of them tell how often each phrase comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.tables.loop import asked_by_clients, inference

READ = 100_000
STRETCH = 500
EDGE = 25
"""Rows whose median tells where a moment lies in the order of arrival; clocks may be wrong."""
COLUMNS = ("sequence", "request_id", "version", "cleaned", "label", "probability")
ROUTED = ("champion", "canary")


@dataclass(frozen=True, eq=False)
class RecentLog:
    """The rows read, as COLUMNS in order of arrival, of the sequence numbers first to last.

    `answers` is how many rows the log has there: counted when all were read, else estimated.
    """

    first: int
    last: int
    rows: pd.DataFrame
    answers: float

    @property
    def scale(self) -> float:
        """Answers of the log for each row read: 1 when all were read."""
        return self.answers / max(len(self.rows), 1)

    @property
    def density(self) -> float:
        """Answers for each sequence number, which all classifiers share."""
        return self.answers / max(self.last - self.first + 1, 1)


def read_recent(
    connection: Connection, classifier: str, *, since: datetime, last: int
) -> RecentLog | None:
    """Read at most READ client answers from `since` up to a sequence number; None without any."""
    first = first_since(connection, classifier, since)
    if first is None or first > last:
        return None
    within = routed(classifier).where(inference.c.sequence.between(first, last))
    columns = [inference.c[name] for name in COLUMNS]
    query = within.with_only_columns(*columns).order_by(inference.c.sequence).limit(READ + 1)
    if counted_to(connection, within, READ + 1) <= READ:
        rows = _frame(connection, query)
        return RecentLog(first, last, rows, float(len(rows)))
    return _read_stretches(connection, classifier, first, last)


def counted_to(connection: Connection, rows: sa.Select[Any], most: int) -> int:
    """Count rows, but no more than `most` of them."""
    bounded = rows.with_only_columns(sa.literal(1)).limit(most).subquery()
    return connection.scalar(sa.select(sa.func.count()).select_from(bounded)) or 0


def first_since(connection: Connection, classifier: str, since: datetime) -> int | None:
    """Return the sequence number at which the answers of a moment begin; None without any."""
    sequence = routed(classifier).with_only_columns(inference.c.sequence)
    moment = inference.c.occurred_at
    if connection.scalar(sequence.where(moment < since).limit(1)) is None:
        return connection.scalar(sequence.order_by(inference.c.sequence).limit(1))
    following = sequence.where(moment >= since).order_by(moment).limit(EDGE)
    numbers = list(connection.scalars(following))
    return int(np.median(numbers)) if numbers else None


def routed(classifier: str) -> sa.Select[Any]:
    """Select the rows that answered clients by their route; the columns are chosen later."""
    return sa.select(inference.c.sequence).where(
        inference.c.classifier == classifier, inference.c.role.in_(ROUTED), asked_by_clients()
    )


def _read_stretches(connection: Connection, classifier: str, first: int, last: int) -> RecentLog:
    points = np.linspace(first, last, READ // STRETCH, endpoint=False).astype(int).tolist()
    point = (
        sa.func.unnest(sa.literal(points, sa.ARRAY(sa.BigInteger)))
        .table_valued("point", name="points")
        .render_derived()
    )
    stretch = (
        routed(classifier)
        .with_only_columns(*(inference.c[name] for name in COLUMNS))
        .where(inference.c.sequence >= point.c.point, inference.c.sequence <= last)
        .order_by(inference.c.sequence)
        .limit(STRETCH)
        .lateral()
    )
    columns = [stretch.c[name] for name in COLUMNS]
    joined = sa.select(*columns).select_from(point.join(stretch, sa.true()))
    rows = _frame(connection, joined)
    rows = rows.drop_duplicates("sequence").sort_values("sequence", ignore_index=True)
    return RecentLog(first, last, rows, _estimated(rows["sequence"].to_numpy(), points, last))


def _estimated(sequences: np.ndarray, points: list[int], last: int) -> float:
    """Return how many answers lie between the first point and `last`.

    Behind each point, so many sequence numbers had so many answers; the mean goes for the rest.
    """
    edges = np.append(np.searchsorted(sequences, points), len(sequences))
    covered = 0
    for place, point in enumerate(points):
        held = sequences[edges[place] : edges[place + 1]]
        following = points[place + 1] - 1 if place + 1 < len(points) else last
        covered += (int(held[-1]) if len(held) >= STRETCH else following) - point + 1
    return len(sequences) * (last - points[0] + 1) / max(covered, 1)


def _frame(connection: Connection, query: sa.Select[Any]) -> pd.DataFrame:
    rows = [tuple(row) for row in connection.execute(query)]
    return pd.DataFrame.from_records(rows, columns=list(COLUMNS))
