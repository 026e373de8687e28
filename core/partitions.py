"""Monthly partitions of `inference`, and how long they are kept. A row of a month without one waits in `inference_other`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

OTHER = "inference_other"
"""The default partition: rows of months that have no partition yet or lie in the future, and corrected rows of months that are gone."""
_LOCK = 5065


@dataclass(frozen=True)
class Tidied:
    """What one call did: partitions made, partitions dropped, rows dropped."""

    made: int = 0
    dropped: int = 0
    rows_dropped: int = 0


def tidy_inference(connection: Connection, *, now: datetime, kept_months: int) -> Tidied:
    """Give this month, the next and every kept month with rows a partition; drop what is older than `kept_months` full months.

    Rows that people or systems corrected stay: they are training rows. The caller commits. A call that finds nothing to do
    costs a few milliseconds; one that has waited 5 s for its locks raises `OperationalError` and may be called again later.
    """
    connection.execute(sa.text("set local lock_timeout = '5s'"))
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    oldest, this, coming = (_month(now, plus=plus) for plus in (-kept_months, 0, 1))
    waiting = [month for month in _waiting_months(connection) if oldest <= month <= coming]
    missing = sorted({this, coming, *waiting} - set(_partitions(connection)))
    for month in missing:
        _make(connection, month)
    old = [month for month in _partitions(connection) if month < oldest]
    rows = sum(_drop(connection, month) for month in old) + _drop_other(connection, oldest)
    return Tidied(len(missing), len(old), rows)


def _month(moment: datetime, *, plus: int = 0) -> datetime:
    """First moment of the month, in UTC, `plus` months later."""
    utc = moment.astimezone(UTC)
    year, month = divmod(utc.year * 12 + utc.month - 1 + plus, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)


def _name(month: datetime) -> str:
    return f"inference_{month:%Y_%m}"


def _partitions(connection: Connection) -> list[datetime]:
    """The months that have a partition, oldest first."""
    names = connection.scalars(sa.text("select inhrelid::regclass::text from pg_inherits where inhparent = 'inference'::regclass"))
    found = (name.removeprefix("inference_") for name in names if name != OTHER)
    return sorted(datetime.strptime(name, "%Y_%m").replace(tzinfo=UTC) for name in found)


def _waiting_months(connection: Connection) -> Iterable[datetime]:
    months = connection.scalars(sa.text(f"select distinct date_trunc('month', occurred_at, 'UTC') from {OTHER}"))
    return [month.astimezone(UTC) for month in months]


def _make(connection: Connection, month: datetime) -> None:
    """Fill the table before it becomes a partition: the default one must hold no row of its range, nor get one meanwhile."""
    name, span = _name(month), {"start": month, "end": _month(month, plus=1)}
    connection.execute(sa.text(f"lock table {OTHER} in access exclusive mode"))
    connection.execute(sa.text(f"create table {name} (like inference including defaults including constraints)"))
    moved = f"delete from {OTHER} where occurred_at >= :start and occurred_at < :end returning *"
    connection.execute(sa.text(f"with moved as ({moved}) insert into {name} select * from moved"), span)
    bounds = f"from ('{span['start'].isoformat()}') to ('{span['end'].isoformat()}')"
    connection.execute(sa.text(f"alter table inference attach partition {name} for values {bounds}"))


_CORRECTED = "exists (select 1 from feedback where feedback.request_id = old.request_id)"


def _drop(connection: Connection, month: datetime) -> int:
    """Drop a partition but for its corrected rows; return how many rows went."""
    name = _name(month)
    connection.execute(sa.text(f"alter table inference detach partition {name}"))
    kept = connection.execute(sa.text(f"insert into {OTHER} select * from {name} as old where {_CORRECTED}")).rowcount
    rows = connection.scalar(sa.text(f"select count(*) from {name}")) or 0
    connection.execute(sa.text(f"drop table {name}"))
    return rows - kept


def _drop_other(connection: Connection, oldest: datetime) -> int:
    gone = sa.text(f"delete from {OTHER} as old where occurred_at < :oldest and not {_CORRECTED}")
    return connection.execute(gone, {"oldest": oldest}).rowcount
