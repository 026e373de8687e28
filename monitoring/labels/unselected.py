"""Which feedback may judge a candidate: labels that were not given because an answer was wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.contracts import ANSWERING
from core.feedback import is_label
from core.tables.loop import feedback, inference
from core.tables.pins import says_more_than_the_pin
from monitoring.drift.faults import is_faulty

DAYS_READ = 365
"""What runs every hour reads the feedback of so many days."""
AGREEING_SHARE = 0.5
"""An author of unknown kind whose labels agree with so many of the answers labels what comes,
not what is wrong.
"""


def unselected_requests(
    connection: Connection, classifier: str, *, since: datetime | None = None
) -> frozenset[str]:
    """Return the request ids whose feedback is a sample, or comes from an author who labels
    right answers as well. Only feedback received from `since` on counts; None for no limit.
    """
    query = (
        sa.select(
            feedback.c.request_id,
            feedback.c.kind,
            feedback.c.author,
            (feedback.c.label == inference.c.label).label("agrees"),
        )
        .join(inference, inference.c.request_id == feedback.c.request_id)
        .where(feedback.c.classifier == classifier, inference.c.classifier == classifier)
        .where(inference.c.role.in_(ANSWERING), is_label())
        .where(says_more_than_the_pin(inference, sa.func.btrim(feedback.c.label)))
        .where(sa.true() if since is None else feedback.c.received_at >= since)
        .where(~is_faulty(inference))
    )
    return choose_unselected(
        (row.request_id, row.kind, row.author, row.agrees) for row in connection.execute(query)
    )


def choose_unselected(rows: Iterable[tuple[str, str, str, bool]]) -> frozenset[str]:
    """Choose among (request id, kind, author, agrees with the answer)."""
    chosen: set[str] = set()
    selected: set[str] = set()
    unknown: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for request_id, kind, author, agrees in rows:
        if kind == "sample":
            chosen.add(request_id)
        elif kind == "unknown":
            unknown[author].append((request_id, agrees))
        else:
            selected.add(request_id)
    for labels in unknown.values():
        agreeing = sum(agrees for _, agrees in labels)
        if agreeing >= AGREEING_SHARE * len(labels):
            chosen.update(request_id for request_id, _ in labels)
    return frozenset(chosen - selected)
