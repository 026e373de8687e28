"""The revisions of every classifier's memory: an append-only table that serving and flows share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.tables import memory_revision


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
    table = memory_revision.c
    newest = (
        sa.select(memory_revision)
        .distinct(table.classifier)
        .order_by(table.classifier, table.revision.desc())
    )
    rows = [dict(row) for row in connection.execute(newest).mappings()]
    return {row["classifier"]: _entry(row) for row in rows}


def find_revision(connection: Connection, classifier: str, revision: int) -> MemoryRevision | None:
    """Return one revision by its number."""
    table = memory_revision.c
    chosen = sa.select(memory_revision).where(
        table.classifier == classifier, table.revision == revision
    )
    row = connection.execute(chosen).mappings().one_or_none()
    return _entry(dict(row)) if row else None


def _entry(row: Mapping[str, Any]) -> MemoryRevision:
    return MemoryRevision(**{name: value for name, value in row.items() if name != "id"})
