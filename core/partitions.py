"""Monthly partitions of `inference`, and how long they are kept.

A row whose month has no partition is stored in `inference_other` until it gets one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from core.locks import AdvisoryLock
from core.tables.loop import inference
from core.tables.phrases import distinct_phrase, phrase_key

OTHER = "inference_other"
"""The default partition.

It has the rows of months without a partition yet, and corrected rows of months that were dropped.
"""
LOCK_SECONDS = 5


@dataclass(frozen=True)
class Tidied:
    """What one call did: partitions created, partitions dropped, rows dropped."""

    made: int = 0
    dropped: int = 0
    rows_dropped: int = 0


def tidy_inference(engine: Engine, *, now: datetime, kept_months: int) -> Tidied:
    """Create the partitions that are missing, and drop the months that are no longer kept.

    This month, the next one and every kept month with rows get a partition. Rows older than
    `kept_months` full months go, except those that were corrected: they are training rows.

    Each month is a transaction. It locks the whole log before a partition, as logging and
    correcting do, so that there is no deadlock. Without work, a call takes a few milliseconds.
    Phrases without a row in the log leave the search with the last row.

    Raises
    ------
    sqlalchemy.exc.OperationalError
        After 5 s of waiting for a lock; the call may be repeated later.
    """
    oldest = _month(now, plus=-kept_months)
    current = _month(now)
    coming = _month(now, plus=1)
    with _exclusive(engine) as connection:
        existing = _partitions(connection)
        unpartitioned = _unpartitioned_months(connection)

    required = {current, coming, *(month for month in unpartitioned if oldest <= month <= coming)}
    created = [_create(engine, month) for month in sorted(required - set(existing))]
    dropped_rows = [_drop(engine, month) for month in existing if month < oldest]
    other_rows = _drop_other(engine, oldest)
    if dropped_rows or other_rows:
        _forget_phrases(engine)
    return Tidied(sum(created), len(dropped_rows), sum(dropped_rows) + other_rows)


@contextmanager
def _exclusive(engine: Engine) -> Iterator[Connection]:
    """Yield a transaction that excludes others of its kind and waits at most 5 s for a lock."""
    number = AdvisoryLock.PARTITIONS.value
    with engine.begin() as connection:
        connection.execute(sa.text(f"set local lock_timeout = '{LOCK_SECONDS}s'"))
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))
        yield connection


def _month(moment: datetime, *, plus: int = 0) -> datetime:
    """Return the first moment of the month in UTC, `plus` months later."""
    utc = moment.astimezone(UTC)
    year, month = divmod(utc.year * 12 + utc.month - 1 + plus, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)


def _name(month: datetime) -> str:
    return f"inference_{month:%Y_%m}"


def _partitions(connection: Connection) -> list[datetime]:
    """Return the months that have a partition, oldest first."""
    query = (
        "select inhrelid::regclass::text from pg_inherits where inhparent = 'inference'::regclass"
    )
    tables = connection.scalars(sa.text(query))
    months = [table.removeprefix("inference_") for table in tables if table != OTHER]
    return sorted(datetime.strptime(month, "%Y_%m").replace(tzinfo=UTC) for month in months)


def _unpartitioned_months(connection: Connection) -> list[datetime]:
    """Return the months of the rows in the default partition."""
    months = connection.scalars(
        sa.text(f"select distinct date_trunc('month', occurred_at, 'UTC') from {OTHER}")
    )
    return [month.astimezone(UTC) for month in months]


def _create(engine: Engine, month: datetime) -> bool:
    """Create a partition; return False when it exists.

    The table is filled before it is attached: PostgreSQL refuses a partition while the default one
    has rows of its range.
    """
    name = _name(month)
    end = _month(month, plus=1)
    with _exclusive(engine) as connection:
        if month in _partitions(connection):
            return False

        connection.execute(sa.text("lock table only inference in share update exclusive mode"))
        connection.execute(sa.text(f"lock table {OTHER} in access exclusive mode"))
        columns = "like inference including defaults including constraints"
        connection.execute(sa.text(f"create table {name} ({columns})"))
        _move_from_other(connection, name, start=month, end=end)

        bounds = f"from ('{month.isoformat()}') to ('{end.isoformat()}')"
        attach = f"alter table inference attach partition {name} for values {bounds}"
        connection.execute(sa.text(attach))
    return True


def _move_from_other(connection: Connection, name: str, *, start: datetime, end: datetime) -> None:
    """Move the rows of [start, end) from the default partition to a table."""
    deleted = f"delete from {OTHER} where occurred_at >= :start and occurred_at < :end returning *"
    move = f"with moved as ({deleted}) insert into {name} select * from moved"
    connection.execute(sa.text(move), {"start": start, "end": end})


_CORRECTED = "exists (select from feedback where feedback.request_id = old.request_id)"
"""SQL condition on a row `old` of the log."""


def _drop(engine: Engine, month: datetime) -> int:
    """Drop a partition except for its corrected rows; return the number of rows dropped.

    A correction reads the log, so that detaching waits for it.
    """
    name = _name(month)
    with _exclusive(engine) as connection:
        if month not in _partitions(connection):
            return 0
        connection.execute(sa.text(f"alter table inference detach partition {name}"))
        keep = f"insert into {OTHER} select * from {name} as old where {_CORRECTED}"
        corrected = connection.execute(sa.text(keep)).rowcount
        rows: int = connection.scalar(sa.text(f"select count(*) from {name}")) or 0
        connection.execute(sa.text(f"drop table {name}"))
    return rows - corrected


def _drop_other(engine: Engine, oldest: datetime) -> int:
    """Drop the old rows of the default partition that were not corrected; return their number.

    The lock waits for corrections of these rows.
    """
    old_rows = f"{OTHER} as old where occurred_at < :oldest and not {_CORRECTED}"
    limit = {"oldest": oldest}
    with _exclusive(engine) as connection:
        any_row = connection.scalar(sa.text(f"select exists (select from {old_rows})"), limit)
    if not any_row:
        return 0
    with _exclusive(engine) as connection:
        connection.execute(sa.text(f"lock table {OTHER} in access exclusive mode"))
        return connection.execute(sa.text(f"delete from {old_rows}"), limit).rowcount


def _forget_phrases(engine: Engine) -> None:
    """Remove the phrases that no row of the log has any more.

    Writers of the log wait meanwhile: a row that is not committed yet may have the phrase.
    """
    table = distinct_phrase.c
    logged = sa.select(inference.c.request_id).where(
        inference.c.classifier == table.classifier, phrase_key(inference.c.cleaned) == table.key
    )
    with _exclusive(engine) as connection:
        arrivals = AdvisoryLock.ARRIVALS.value
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(arrivals)))
        connection.execute(sa.delete(distinct_phrase).where(~sa.exists(logged)))
