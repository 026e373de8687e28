"""Counts answers by day and version, by region and by label, as they arrive: no page reads the log.

The log of 10 million answers takes seconds to count; its counts of a quarter take milliseconds,
and they stay when the months of the log are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection, Engine

from core.arrivals import newest_arrival, newest_arrival_at_once
from core.tables.answers import ROUTED, answer_count, answers_counted, label_count
from core.tables.loop import asked_by_clients, inference
from monitoring.labels.fix_counts import count_effects, has_new_feedback, register_fixes
from monitoring.labels.received import newest_settled_at_once

COUNTED_ROLES = (*ROUTED, "shadow")
CHUNK = 50_000
"""Answers counted in one transaction: about a quarter of a second."""
AT_ONCE = 10_000
"""Answers that a page counts before it shows them: less than 0.1 s."""
SUMS = ("answers", "probability_sum", "abstained")


@dataclass(frozen=True)
class Counted:
    """The answers up to the sequence number `until` are counted; `complete` when all are."""

    until: int
    complete: bool


def count_answers(engine: Engine, classifier: str, *, now: datetime) -> Counted:
    """Count every answer that arrived; answers that arrive meanwhile wait for the next call.

    Fixes are registered first, so that the answers that agree with them count for them.
    """
    newest = newest_arrival(engine)
    while not _register_fixes(engine, classifier, now=now):
        pass
    while True:
        counted = _count_chunk(engine, classifier, newest, rows=CHUNK, now=now)
        if counted.complete:
            return counted


def count_some_answers(engine: Engine, classifier: str, *, now: datetime) -> Counted:
    """Count at most AT_ONCE of the answers that arrived, in bounded time."""
    newest = newest_arrival_at_once(engine)
    if newest is None:
        with engine.connect() as connection:
            return Counted(counted_until(connection, classifier), complete=False)
    _register_fixes(engine, classifier, now=now)
    return _count_chunk(engine, classifier, newest, rows=AT_ONCE, now=now)


def counted_until(connection: Connection, classifier: str) -> int:
    """Return the sequence number up to which answers are counted, 0 before the first count."""
    query = sa.select(answers_counted.c.sequence).where(answers_counted.c.classifier == classifier)
    return connection.scalar(query) or 0


def newest_day(connection: Connection, classifier: str) -> date | None:
    """Return the newest day that has counted answers, None without any."""
    table = answer_count.c
    newest = sa.select(sa.func.max(table.day)).where(table.classifier == classifier)
    day: date | None = connection.scalar(newest)
    return day


def _register_fixes(engine: Engine, classifier: str, *, now: datetime) -> bool:
    """Register some fixes; return whether these were all that can be registered now."""
    with engine.connect() as connection:
        if not has_new_feedback(connection, classifier):
            return True
    settled = newest_settled_at_once(engine)
    if settled is None:
        return True  # an import is under way: the next call registers its fixes
    with engine.begin() as connection:
        _held_progress(connection, classifier, now)
        return register_fixes(connection, classifier, settled=settled)


def _count_chunk(
    engine: Engine, classifier: str, newest: int, *, rows: int, now: datetime
) -> Counted:
    """Count the next `rows` answers with a sequence number of at most `newest`."""
    with engine.begin() as connection:
        after = _held_progress(connection, classifier, now)
        if after >= newest:
            return Counted(after, complete=True)
        until = _end_of_chunk(connection, classifier, after, newest, rows)
        for table, group in _TABLES:
            connection.execute(_add_counts(table, group, classifier, after, until))
        connection.execute(count_effects(classifier, after=after, until=until))
        connection.execute(
            sa.update(answers_counted)
            .where(answers_counted.c.classifier == classifier)
            .values(sequence=until, counted_at=now)
        )
    return Counted(until, complete=until >= newest)


def _held_progress(connection: Connection, classifier: str, now: datetime) -> int:
    """Return how far the counts go, and hold it until the commit: no answer counts twice."""
    first = insert(answers_counted).values(classifier=classifier, sequence=0, counted_at=now)
    connection.execute(first.on_conflict_do_nothing())
    query = sa.select(answers_counted.c.sequence).where(answers_counted.c.classifier == classifier)
    return int(connection.execute(query.with_for_update()).scalar_one())


def _end_of_chunk(
    connection: Connection, classifier: str, after: int, newest: int, rows: int
) -> int:
    query = (
        sa.select(inference.c.sequence)
        .where(
            inference.c.classifier == classifier,
            inference.c.sequence > after,
            inference.c.sequence <= newest,
        )
        .order_by(inference.c.sequence)
        .offset(rows - 1)
        .limit(1)
    )
    return connection.scalar(query) or newest


_TABLES = (
    (answer_count, sa.func.coalesce(inference.c.region, "").label("region")),
    (label_count, inference.c.label),
)
"""What is counted where, beside day, version and shadow."""


def _add_counts(
    table: sa.Table, group: sa.ColumnElement[str], classifier: str, after: int, until: int
) -> sa.Executable:
    """Add the answers with `after` < sequence <= `until` to the counts of a table."""
    day = sa.cast(sa.func.timezone("UTC", inference.c.occurred_at), sa.Date)
    groups = (
        inference.c.classifier,
        day.label("day"),
        inference.c.version,
        (inference.c.role == "shadow").label("shadow"),
        group,
    )
    refused = sa.func.count().filter(inference.c.abstained)
    counts = (
        sa.select(*groups, sa.func.count(), sa.func.sum(inference.c.probability), refused)
        .where(
            inference.c.classifier == classifier,
            inference.c.sequence > after,
            inference.c.sequence <= until,
            inference.c.role.in_(COUNTED_ROLES),
            asked_by_clients(),
        )
        .group_by(*(sa.text(str(place)) for place in range(1, len(groups) + 1)))
    )
    key = [column.name for column in table.primary_key]
    adding = insert(table).from_select([*key, *SUMS], counts)
    return adding.on_conflict_do_update(
        index_elements=key,
        set_={name: table.c[name] + adding.excluded[name] for name in SUMS},
    )
