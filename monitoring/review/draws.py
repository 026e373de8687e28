"""Draws answers at random, each with a probability that is known and stored.

Each draw covers the answers that arrived since the one before: an answer has one chance. Within a
draw every answer has the same probability, however the traffic came, so labels weighted by
1 / probability stand for all answers (D. G. Horvitz and D. J. Thompson, 1952). Phrases are not
merged: a phrase asked twice as often is drawn twice as often.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.tables.loop import inference
from core.tables.review_draws import review_draw
from monitoring.review.recent_log import READ, counted_to, routed

WEEK = timedelta(days=7)
COLUMNS = ("request_id", "cleaned", "probability")


@dataclass(frozen=True)
class Draw:
    """The answers behind `after`, up to `last`, each drawn with `probability`."""

    after: int
    last: int
    probability: float
    drawn: pd.DataFrame


def last_draw(connection: Connection, classifier: str) -> tuple[int, datetime] | None:
    """Return up to which sequence number answers were drawn, and when; None before the first."""
    table = review_draw.c
    newest = (
        sa.select(table.last_sequence, table.drawn_at)
        .where(table.classifier == classifier)
        .order_by(table.id.desc())
        .limit(1)
    )
    row = connection.execute(newest).one_or_none()
    return None if row is None else (row.last_sequence, row.drawn_at)


def last_chance(connection: Connection, classifier: str) -> datetime | None:
    """Return when answers last had a chance; a draw without any leaves its share to the next."""
    table = review_draw.c
    newest = (
        sa.select(table.drawn_at)
        .where(table.classifier == classifier, table.probability > 0)
        .order_by(table.id.desc())
        .limit(1)
    )
    moment: datetime | None = connection.scalar(newest)
    return moment


def record_draw(connection: Connection, classifier: str, draw: Draw, *, now: datetime) -> None:
    """Append a draw: the next one begins behind it."""
    values = {
        "classifier": classifier,
        "drawn_at": now,
        "after_sequence": draw.after,
        "last_sequence": draw.last,
        "probability": draw.probability,
        "drawn": len(draw.drawn),
    }
    connection.execute(review_draw.insert().values(values))


def draw_answers(
    connection: Connection,
    classifier: str,
    *,
    after: int,
    last: int,
    expected: float,
    density: float,
    random: np.random.Generator,
) -> Draw:
    """Draw `expected` answers, on average, of those with after < sequence <= last.

    Up to READ answers are listed. Of more, sequence numbers are drawn, whatever they hold: the
    probability of an answer is that of its number. `density` is about how many answers there are
    for each number; it sets how many numbers are drawn, and has no part in what is true of them.
    """
    within = routed(classifier).where(inference.c.sequence > after, inference.c.sequence <= last)
    if counted_to(connection, within, READ + 1) <= READ:
        listed = within.with_only_columns(inference.c.sequence).order_by(inference.c.sequence)
        numbers = np.array(list(connection.scalars(listed)), dtype=np.int64)
        chosen, probability = draw_of(len(numbers), expected, random)
        numbers = numbers[chosen]
    else:
        wanted = expected / max(density, 1 / (last - after))
        chosen, probability = draw_of(last - after, wanted, random)
        numbers = after + 1 + chosen
    return Draw(after, last, probability, _drawn(connection, within, numbers, probability))


def draw_of(size: int, expected: float, random: np.random.Generator) -> tuple[np.ndarray, float]:
    """Draw places in [0, size), each with the probability that is returned.

    Their number is `expected` rounded up or down by chance, so that the average is right.
    """
    expected = min(expected, float(size))
    if expected <= 0:
        return np.empty(0, np.int64), 0.0
    whole = int(np.floor(expected))
    count = whole + int(random.random() < expected - whole)
    places = np.sort(random.choice(size, size=count, replace=False))
    return places.astype(np.int64), expected / size


def _drawn(
    connection: Connection, within: sa.Select[Any], numbers: np.ndarray, probability: float
) -> pd.DataFrame:
    among = inference.c.sequence == sa.any_(sa.literal(numbers.tolist(), sa.ARRAY(sa.BigInteger)))
    query = within.with_only_columns(inference.c.request_id, inference.c.cleaned).where(among)
    rows = [tuple(row) for row in connection.execute(query.order_by(inference.c.sequence))]
    drawn = pd.DataFrame.from_records(rows, columns=list(COLUMNS[:2]))
    return drawn.assign(probability=probability)
