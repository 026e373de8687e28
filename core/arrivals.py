"""Order of arrival: the sequence numbers of `inference`, and a moment at which none is missing."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from core.locks import AdvisoryLock
from core.tables import inference


def newest_arrival(engine: Engine) -> int:
    """Return the highest sequence number; no row at or below it appears later.

    A transaction that has taken its numbers may commit after one that took higher ones. So the
    number is read while no insert is under way: writers wait for the moment that it takes.
    """
    with engine.begin() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(int(AdvisoryLock.ARRIVALS))))
        return connection.scalar(sa.select(sa.func.max(inference.c.sequence))) or 0
