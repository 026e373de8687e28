"""The numbers of the advisory locks in PostgreSQL, in one place so that no two are equal."""

from __future__ import annotations

from enum import IntEnum

import sqlalchemy as sa
from sqlalchemy.engine import Connection


class AdvisoryLock(IntEnum):
    """Who waits for whom. Numbers stay: programs of two versions must wait for each other."""

    CREATE_DATABASE = 5061
    """Creating one of the three databases."""

    MIGRATE = 5062
    """Running Alembic's revisions."""

    RUN = 5063
    """One run per classifier; seeds the hash of the classifier's name."""

    ROLLOUT = 5064
    """One rollout decision per classifier; seeds the hash of the classifier's name."""

    PARTITIONS = 5065
    """Adding and dropping the monthly partitions of `inference`."""

    ARRIVALS = 5066
    """Every insert into `inference` holds it shared (migration 0005); a watch reads behind it."""

    REPORTS = 5067
    """Storing drift reports; seeds the hash of the classifier's name."""

    MEMORY = 5068
    """Making a revision of a memory; seeds the hash of the classifier's name."""

    NOTICES = 5070
    """Sending notices to people; each is sent once."""

    REVIEW = 5074
    """Refilling a review queue; seeds the hash of the classifier's name."""
    PINS = 5073
    """Adding and ending pins, of all classifiers: their ids become visible in order."""

    TUNING = 5076
    """Creating Optuna's schema and tables."""


def hold_until_commit(connection: Connection, lock: AdvisoryLock, classifier: str) -> None:
    """Wait for the lock of a classifier; the end of the transaction releases it."""
    take = sa.text("select pg_advisory_xact_lock(hashtextextended(:name, :seed))")
    connection.execute(take, {"name": classifier, "seed": lock.value})
