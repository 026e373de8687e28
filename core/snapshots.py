"""SQL on the `snapshot` table: every snapshot that a retraining used, and the one before it.

Making a snapshot is the job of `pipelines/snapshots.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from core.contracts import Snapshot
from core.tables.loop import snapshot as snapshot_table

TRAINED = "trained"
"""Key of a summary: the label columns that were trained on."""


def record_snapshot(
    connection: sa.Connection,
    snapshot: Snapshot,
    *,
    git_tag: str,
    summary: Mapping[str, Any],
    trained: Collection[str],
) -> None:
    """Append one snapshot. The caller commits.

    Parameters
    ----------
    git_tag : str
        Tag of the commit that published it.
    summary : mapping
        What `pipelines.snapshots.summarise` returns.
    trained : collection of str
        The label columns that were checked and trained on: the next checks compare with these.
    """
    connection.execute(
        snapshot_table.insert().values(
            as_of=snapshot.as_of,
            dataset=snapshot.dataset,
            rows=snapshot.rows,
            logical_hash=snapshot.logical_hash,
            query_hash=snapshot.query_hash,
            git_tag=git_tag,
            summary={**summary, TRAINED: sorted(trained)},
        )
    )


def previous_summary(
    connection: sa.Connection, dataset: str, *, before: datetime, columns: Sequence[str]
) -> dict[str, Any] | None:
    """Return {as_of, rows, labels} of what trained before; None when nothing did.

    Moment and rows are those of the newest snapshot that trained, with as_of < before. The labels
    of each column are those of the newest snapshot that trained on the column. Of two with equal
    as_of, the one recorded last counts.
    """
    trained = _newest_first(snapshot_table.c.summary, dataset, before)
    newest = connection.scalars(trained.limit(1)).first()
    if newest is None:
        return None
    labels = {}
    for column in columns:
        of_column = trained.where(_trained_on(column)).limit(1)
        if summary := connection.scalars(of_column).first():
            labels[column] = summary["labels"][column]
    return {"as_of": newest["as_of"], "rows": newest["rows"], "labels": labels}


def published_summary(
    connection: sa.Connection, dataset: str, *, git_tag: str
) -> dict[str, Any] | None:
    """Return the summary of the snapshot that a run published, None when it is not recorded.

    An empty tag names none: older releases recorded looks without a tag.
    """
    table = snapshot_table.c
    query = sa.select(table.summary).where(
        table.dataset == dataset, table.git_tag == git_tag, table.git_tag != ""
    )
    return connection.scalars(query.order_by(table.id.desc()).limit(1)).first()


def previous_tag(connection: sa.Connection, *, dataset: str, before: datetime) -> str:
    """Return the git tag of the newest tagged snapshot with as_of < before, "" without one."""
    query = _newest_first(snapshot_table.c.git_tag, dataset, before)
    return connection.scalars(query.limit(1)).first() or ""


def recorded_snapshots(connection: sa.Connection, dataset: str) -> list[sa.Row[Any]]:
    """Return the snapshots of a dataset that trained, newest first."""
    return list(connection.execute(_trained(snapshot_table, dataset)))


def _trained_on(column: str) -> sa.ColumnElement[bool]:
    """Rows of older releases do not list the columns: they count for each that they hold."""
    summary = snapshot_table.c.summary
    listed = summary[TRAINED].has_key(column)
    return sa.and_(
        summary["labels"].has_key(column), sa.or_(sa.not_(summary.has_key(TRAINED)), listed)
    )


def _newest_first(column: sa.Column[Any], dataset: str, before: datetime) -> sa.Select[Any]:
    return _trained(column, dataset).where(snapshot_table.c.as_of < before)


def _trained(columns: sa.Column[Any] | sa.Table, dataset: str) -> sa.Select[Any]:
    """Select from the snapshots that trained, newest first.

    Older releases recorded others, without a tag.
    """
    table = snapshot_table.c
    return (
        sa.select(columns)
        .where(table.dataset == dataset, table.git_tag != "")
        .order_by(table.as_of.desc(), table.id.desc())
    )
