"""The revisions of every classifier's memory: an append-only table that serving and flows share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.tables.loop import memory_revision

# One look into an index per classifier, as services poll the table (see `core.deployments`).
_NEWEST_OF_EACH_CLASSIFIER = sa.text("""
    with recursive newest as (
        (select * from memory_revision order by classifier desc, revision desc limit 1)
        union all
        select following.* from newest cross join lateral (
            select * from memory_revision
            where memory_revision.classifier < newest.classifier
            order by memory_revision.classifier desc, memory_revision.revision desc
            limit 1
        ) as following
    )
    select * from newest order by classifier
""").columns(*memory_revision.c)


@dataclass(frozen=True, slots=True)
class MemoryRevision:
    """One state of a classifier's memory; all roles answer with the newest.

    `as_of` is the latest receipt that it may know, `snapshot` the digest of the source's labels
    behind it, `first_feedback` to `last_feedback` the ids of the feedback (None: no feedback).
    `phrases` and `labels` count what it was made from.
    """

    classifier: str
    revision: int
    made_at: datetime
    as_of: datetime
    digest: str
    location: str
    snapshot: str
    first_feedback: int | None
    last_feedback: int | None
    phrases: int
    labels: int
    enabled: bool
    why: str


def append_revision(connection: Connection, revision: MemoryRevision) -> None:
    """Add one row. The caller commits; a number that is taken raises `IntegrityError`."""
    connection.execute(memory_revision.insert().values(asdict(revision)))


def newest_revisions(connection: Connection) -> dict[str, MemoryRevision]:
    """Return the newest revision of every classifier that has one."""
    rows = connection.execute(_NEWEST_OF_EACH_CLASSIFIER).mappings().all()
    return {row["classifier"]: _entry(dict(row)) for row in rows}


def find_revision(connection: Connection, classifier: str, revision: int) -> MemoryRevision | None:
    """Return one revision by its number."""
    table = memory_revision.c
    chosen = sa.select(memory_revision).where(
        table.classifier == classifier, table.revision == revision
    )
    row = connection.execute(chosen).mappings().one_or_none()
    return _entry(dict(row)) if row else None


def newest_revision_by(
    connection: Connection, classifier: str, *, moment: datetime
) -> MemoryRevision | None:
    """Return the newest revision that was made by a moment, and knows no later label."""
    table = memory_revision.c
    query = (
        sa.select(memory_revision)
        .where(table.classifier == classifier, table.made_at <= moment, table.as_of <= moment)
        .order_by(table.revision.desc())
        .limit(1)
    )
    row = connection.execute(query).mappings().one_or_none()
    return _entry(dict(row)) if row else None


def _entry(row: Mapping[str, Any]) -> MemoryRevision:
    return MemoryRevision(**{name: value for name, value in row.items() if name != "id"})
