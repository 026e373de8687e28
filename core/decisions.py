"""The `decision` table: every verdict with its evidence."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.contracts import Verdict
from core.tables import decision


def record_decision(
    connection: Connection,
    verdict: Verdict,
    *,
    classifier: str,
    subject: str,
    decided_at: datetime,
    run: str = "",
) -> None:
    """Append one verdict; `subject` names the kind of decision ("gate", "drift", "retraining", "rollout")."""
    connection.execute(
        decision.insert().values(
            decided_at=decided_at,
            classifier=classifier,
            subject=subject,
            kind=verdict.kind,
            reasons=list(verdict.reasons),
            evidence=dict(verdict.evidence),
            run=run,
        )
    )


def recorded_decision(
    connection: Connection, *, classifier: str, subject: str, run: str
) -> Verdict | None:
    """The verdict that a run has already recorded on the subject."""
    mine = (
        decision.c.classifier == classifier,
        decision.c.subject == subject,
        decision.c.run == run,
    )
    row = connection.execute(
        sa.select(decision).where(*mine).order_by(decision.c.id).limit(1)
    ).one_or_none()
    return Verdict(row.kind, tuple(row.reasons), row.evidence) if row else None
