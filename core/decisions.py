"""The `decision` table: every verdict with its evidence."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.engine import Connection

from core.contracts import Verdict
from core.tables import decision


def record_decision(
    connection: Connection, verdict: Verdict, *, classifier: str, subject: str, decided_at: datetime, run: str = ""
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
