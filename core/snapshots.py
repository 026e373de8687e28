"""SQL on the `snapshot` table: every snapshot that a retraining used, and the one before it.

Making a snapshot is the job of `pipelines/snapshots.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from core.contracts import Snapshot
from core.tables import snapshot as snapshot_table


def record_snapshot(
    connection: sa.Connection, snapshot: Snapshot, *, git_tag: str, summary: Mapping[str, Any]
) -> None:
    """Append one snapshot. The caller commits.

    Parameters
    ----------
    git_tag : str
        Tag of the commit that published it, "" for none.
    summary : mapping
        What `pipelines.snapshots.summarise` returns.
    """
    connection.execute(
        snapshot_table.insert().values(
            as_of=snapshot.as_of,
            dataset=snapshot.dataset,
            rows=snapshot.rows,
            logical_hash=snapshot.logical_hash,
            query_hash=snapshot.query_hash,
            git_tag=git_tag,
            summary=dict(summary),
        )
    )


def previous_summary(
    connection: sa.Connection, dataset: str, *, before: datetime
) -> dict[str, Any] | None:
    """Return the summary of the newest snapshot of the dataset with as_of < before.

    Of two with equal as_of, it is the one that was recorded last.
    """
    query = _newest_first(snapshot_table.c.summary, dataset, before)
    return connection.scalars(query.limit(1)).first()


def previous_tag(connection: sa.Connection, *, dataset: str, before: datetime) -> str:
    """Return the git tag of the newest tagged snapshot with as_of < before, "" without one."""
    tags = _newest_first(snapshot_table.c.git_tag, dataset, before)
    query = tags.where(snapshot_table.c.git_tag != "")
    return connection.scalars(query.limit(1)).first() or ""


def _newest_first(column: sa.Column[Any], dataset: str, before: datetime) -> sa.Select[Any]:
    table = snapshot_table.c
    return (
        sa.select(column)
        .where(table.dataset == dataset, table.as_of < before)
        .order_by(table.as_of.desc(), table.id.desc())
    )
