"""Order of arrival: the sequence numbers of `inference`, and a moment at which none is missing."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from core.locks import AdvisoryLock

_LOCK = int(AdvisoryLock.ARRIVALS)
_NEWEST = sa.text(
    "select case when is_called then last_value else last_value - 1 end from inference_sequence"
)
"""Of every row that took a number; a maximum over the log would read all of it."""


def newest_arrival(engine: Engine) -> int:
    """Return the highest sequence number; no row at or below it appears later.

    A transaction that has taken its numbers may commit after one that took higher ones. So the
    number is read while no insert is under way: writers wait for the moment that it takes.
    """
    with engine.begin() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        return int(connection.execute(_NEWEST).scalar_one())


def newest_arrival_at_once(engine: Engine) -> int | None:
    """Return the same without waiting, None while an insert is under way."""
    with engine.begin() as connection:
        if not connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(_LOCK))):
            return None
        return int(connection.execute(_NEWEST).scalar_one())
