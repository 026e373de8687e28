"""Monthly partitions of `inference`, and how long they are kept. A row of a month without one waits in `inference_other`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

OTHER = "inference_other"
"""The default partition: rows of months that have no partition yet or lie in the future, and corrected rows of months that are gone."""
_LOCK = 5065


@dataclass(frozen=True)
class Tidied:
    """What one call did: partitions made, partitions dropped, rows dropped."""

    made: int = 0
    dropped: int = 0
    rows_dropped: int = 0


def tidy_inference(engine: Engine, *, now: datetime, kept_months: int) -> Tidied:
    """Give this month, the next and every kept month with rows a partition; drop what is older than `kept_months` full months.

    Rows that people or systems corrected stay: they are training rows. Each month is a transaction of its own, which takes its locks in
    the order of those who log and correct, the whole log before its parts, so that none of them has to give way. A call that finds
    nothing to do costs a few milliseconds; one that has waited 5 s for a lock raises `OperationalError` and may be called again later.
    """
    oldest, this, coming = (_month(now, plus=plus) for plus in (-kept_months, 0, 1))
    with _alone(engine) as connection:
        waiting = [month for month in _waiting_months(connection) if oldest <= month <= coming]
        there = _partitions(connection)
    made = [_make(engine, month) for month in sorted({this, coming, *waiting} - set(there))]
    gone = [_drop(engine, month) for month in there if month < oldest]
    return Tidied(sum(made), len(gone), sum(gone) + _drop_other(engine, oldest))


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """A transaction that waits for others of its kind, and for nobody longer than 5 s."""
    with engine.begin() as connection:
        connection.execute(sa.text("set local lock_timeout = '5s'"))
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        yield connection


def _month(moment: datetime, *, plus: int = 0) -> datetime:
    """First moment of the month, in UTC, `plus` months later."""
    utc = moment.astimezone(UTC)
    year, month = divmod(utc.year * 12 + utc.month - 1 + plus, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)


def _name(month: datetime) -> str:
    return f"inference_{month:%Y_%m}"


def _partitions(connection: Connection) -> list[datetime]:
    """The months that have a partition, oldest first."""
    names = connection.scalars(
        sa.text(
            "select inhrelid::regclass::text from pg_inherits where inhparent = 'inference'::regclass"
        )
    )
    found = (name.removeprefix("inference_") for name in names if name != OTHER)
    return sorted(datetime.strptime(name, "%Y_%m").replace(tzinfo=UTC) for name in found)


def _waiting_months(connection: Connection) -> Iterable[datetime]:
    months = connection.scalars(
        sa.text(f"select distinct date_trunc('month', occurred_at, 'UTC') from {OTHER}")
    )
    return [month.astimezone(UTC) for month in months]


def _make(engine: Engine, month: datetime) -> bool:
    """Fill the table before it becomes a partition: the default one must hold no row of its range, nor get one meanwhile."""
    name, span = _name(month), {"start": month, "end": _month(month, plus=1)}
    with _alone(engine) as connection:
        if month in _partitions(connection):
            return False
        connection.execute(sa.text("lock table only inference in share update exclusive mode"))
        connection.execute(sa.text(f"lock table {OTHER} in access exclusive mode"))
        connection.execute(
            sa.text(
                f"create table {name} (like inference including defaults including constraints)"
            )
        )
        moved = (
            f"delete from {OTHER} where occurred_at >= :start and occurred_at < :end returning *"
        )
        connection.execute(
            sa.text(f"with moved as ({moved}) insert into {name} select * from moved"), span
        )
        bounds = f"from ('{span['start'].isoformat()}') to ('{span['end'].isoformat()}')"
        connection.execute(
            sa.text(f"alter table inference attach partition {name} for values {bounds}")
        )
    return True


_CORRECTED = "exists (select from feedback where feedback.request_id = old.request_id)"


def _drop(engine: Engine, month: datetime) -> int:
    """Drop a partition but for its corrected rows; return how many rows went. Whoever corrects reads the log: detaching waits for them."""
    name = _name(month)
    with _alone(engine) as connection:
        if month not in _partitions(connection):
            return 0
        connection.execute(sa.text(f"alter table inference detach partition {name}"))
        kept = connection.execute(
            sa.text(f"insert into {OTHER} select * from {name} as old where {_CORRECTED}")
        ).rowcount
        rows = connection.scalar(sa.text(f"select count(*) from {name}")) or 0
        connection.execute(sa.text(f"drop table {name}"))
    return rows - kept


def _drop_other(engine: Engine, oldest: datetime) -> int:
    """As `_drop`, for rows that were left over or came late; the lock waits for whoever is just correcting one of them."""
    old, moment = (
        f"{OTHER} as old where occurred_at < :oldest and not {_CORRECTED}",
        {"oldest": oldest},
    )
    with _alone(engine) as connection:
        found = connection.scalar(sa.text(f"select exists (select from {old})"), moment)
    if not found:
        return 0
    with _alone(engine) as connection:
        connection.execute(sa.text(f"lock table {OTHER} in access exclusive mode"))
        return connection.execute(sa.text(f"delete from {old}"), moment).rowcount
