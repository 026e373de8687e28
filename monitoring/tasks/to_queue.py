"""Tasks of a file, into the review queue."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.contracts import ANSWERING
from core.tables.loop import inference
from core.tables.review import IS_OPEN, review_item
from monitoring.review.items import ReviewItem, add_items

IMPORTED = "imported"
"""The strategy of items that somebody chose elsewhere."""
CHUNK = 1000


def queue_tasks(
    connection: Connection, classifier: str, request_ids: Iterable[str], *, now: datetime
) -> int:
    """Queue logged answers before all others; return how many are new. The caller commits.

    Requests that are not in the log of the classifier are left out, and phrases that are open.
    """
    score = _top_score(connection, classifier) + 1
    wanted = list(dict.fromkeys(request_ids))
    new = 0
    for start in range(0, len(wanted), CHUNK):
        chunk = wanted[start : start + CHUNK]
        rows = connection.execute(_answers(classifier, chunk)).all()
        items = [ReviewItem.of_answer(row, strategy=IMPORTED, score=score) for row in rows]
        new += add_items(connection, items, now=now)
    return new


def _top_score(connection: Connection, classifier: str) -> float:
    query = sa.select(sa.func.max(review_item.c.score)).where(
        review_item.c.classifier == classifier, IS_OPEN
    )
    return float(connection.scalar(query) or 0.0)


def _answers(classifier: str, request_ids: list[str]) -> sa.Select[Any]:
    query = sa.select(inference).distinct(inference.c.request_id)
    return query.where(
        inference.c.request_id.in_(request_ids),
        inference.c.classifier == classifier,
        inference.c.role.in_(ANSWERING),
    ).order_by(inference.c.request_id, inference.c.occurred_at)
