"""A drift that no gate has answered yet: its call was lost, or it waited for the cool-down."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.contracts import Verdict
from core.tables import decision
from monitoring.retraining import DRIFT, decide_retraining


def unanswered_drift(
    connection: Connection, *, classifier: str, now: datetime, cool_down_days: float
) -> Verdict | None:
    """Return the newest drift that has no answer and whose retraining is due; None without one.

    A drift is answered when the gate has judged a fit of its moment or later, whatever it said of
    it: the fit saw the rows since the drift began. Until then each watch calls for it again.
    """
    table = decision.c
    mine = (table.classifier == classifier, table.decided_at <= now)
    called = connection.execute(
        sa.select(table.decided_at, table.reasons, table.evidence)
        .where(*mine, table.subject == "drift", table.kind == "drift")
        .order_by(table.id.desc())
        .limit(1)
    ).one_or_none()
    if called is None:
        return None
    judged_at = connection.scalar(
        sa.select(sa.func.max(table.decided_at)).where(*mine, table.subject == "gate")
    )
    if judged_at is not None and judged_at >= called.decided_at:
        return None
    due = decide_retraining(
        DRIFT, last_retraining_at=judged_at, now=now, cool_down_days=cool_down_days
    )
    if due.kind == "wait":
        return None
    again = f"the drift called at {called.decided_at:%Y-%m-%d %H:%M} has no answer yet"
    return Verdict("drift", (again, *called.reasons), dict(called.evidence))


def with_unanswered(verdict: Verdict, unanswered: Verdict | None) -> Verdict:
    """Return what the watch says: the drift that waits for an answer, unless it calls one itself.

    The windows that were judged now stay in the evidence.
    """
    if unanswered is None or verdict.kind == "drift":
        return verdict
    reasons = (*unanswered.reasons, *verdict.reasons)
    return replace(unanswered, reasons=reasons)
