"""When a version was trained, and which answers were corrected by then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.feedback import is_label
from core.tables.loop import decision, feedback


def trained_as_of(connection: Connection, *, classifier: str, version: str) -> datetime | None:
    """Return the moment up to which the version's training rows go.

    It is that of the gate's decision: a retraining has one moment. None for a version without one.
    """
    table = decision.c
    query = (
        sa.select(table.decided_at)
        .where(
            table.classifier == classifier,
            table.subject == "gate",
            table.evidence["version"].astext == version,
        )
        .order_by(table.id.desc())
        .limit(1)
    )
    moment: datetime | None = connection.scalar(query)
    return moment


def learnt_requests(
    connection: Connection, *, classifier: str, as_of: datetime | None, request_ids: Sequence[str]
) -> set[str]:
    """Return those of the answers whose right label a version trained `as_of` has learnt."""
    if as_of is None or not len(request_ids):
        return set()
    among = feedback.c.request_id == sa.any_(sa.literal(list(request_ids), sa.ARRAY(sa.Text)))
    query = sa.select(feedback.c.request_id).where(
        feedback.c.classifier == classifier, is_label(), feedback.c.received_at <= as_of, among
    )
    return set(connection.scalars(query))
