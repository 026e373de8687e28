"""The rows of the source that a decision on a suspect replaces."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from core.label_reports import SourceRow, suspect_request
from core.tables.loop import feedback


def replaced_rows(item: sa.Row[Any]) -> list[dict[str, Any]]:
    """Return what the feedback on each row of a suspect says of the row; none for an answer."""
    rows = [
        SourceRow(
            row["id"], row["phrase"], datetime.fromisoformat(row["occurred_at"]), row["region"]
        )
        for row in item.source_rows or []
    ]
    return [
        {
            "request_id": suspect_request(item.classifier, row),
            "phrase": row.phrase,
            "cleaned": item.cleaned,
            "occurred_at": row.occurred_at,
            "region": row.region,
            "source_row": row.id,
        }
        for row in rows
    ]


def is_feedback_of(item: sa.Row[Any]) -> sa.ColumnElement[bool]:
    """Return the condition for the feedback that an item decided: one for each of its rows."""
    ids = [row["id"] for row in item.source_rows or []]
    of_rows = sa.and_(
        feedback.c.classifier == item.classifier,
        feedback.c.source_row == sa.any_(sa.literal(ids, sa.ARRAY(sa.Text))),
        feedback.c.received_at == item.decided_at,
    )
    return sa.or_(feedback.c.id == item.feedback, of_rows)
