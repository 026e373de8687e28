"""Every snapshot that a retraining used, and the one before it."""

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
    """Append a row to the `snapshot` table."""
    row = {
        "as_of": snapshot.as_of,
        "dataset": snapshot.dataset,
        "rows": snapshot.rows,
        "logical_hash": snapshot.logical_hash,
    }
    row |= {"query_hash": snapshot.query_hash, "git_tag": git_tag, "summary": dict(summary)}
    connection.execute(snapshot_table.insert().values(row))


def previous_summary(
    connection: sa.Connection, dataset: str, *, before: datetime
) -> dict[str, Any] | None:
    """Return the summary of the newest snapshot of the dataset with as_of < before; of two with equal as_of the one recorded last."""
    table = snapshot_table.c
    query = sa.select(table.summary).where(table.dataset == dataset, table.as_of < before)
    return connection.scalars(query.order_by(table.as_of.desc(), table.id.desc()).limit(1)).first()


def previous_tag(connection: sa.Connection, *, dataset: str, before: datetime) -> str:
    """Return the git tag of the newest tagged snapshot of the dataset with as_of < before, "" when there is none."""
    table = snapshot_table.c
    query = sa.select(table.git_tag).where(
        table.dataset == dataset, table.git_tag != "", table.as_of < before
    )
    return (
        connection.scalars(query.order_by(table.as_of.desc(), table.id.desc()).limit(1)).first()
        or ""
    )
