"""SQL on the `decision` table: every verdict with its evidence."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.contracts import Verdict
from core.tables.loop import decision


def record_decision(
    connection: Connection,
    verdict: Verdict,
    *,
    classifier: str,
    subject: str,
    decided_at: datetime,
    run: str = "",
) -> None:
    """Append one verdict. The caller commits.

    Parameters
    ----------
    subject : str
        What was decided: "gate", "drift", "retraining", "rollout" or "history"; "notice" for a
        message sent.
    run : str
        The retraining that decided, "" for none; of a notice, its key.
    """
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
    """Return the first verdict that a run recorded on the subject, None when there is none."""
    query = (
        sa.select(decision)
        .where(
            decision.c.classifier == classifier,
            decision.c.subject == subject,
            decision.c.run == run,
        )
        .order_by(decision.c.id)
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return Verdict(row.kind, tuple(row.reasons), row.evidence) if row else None


def rejected_versions(connection: Connection, classifier: str) -> dict[str, str]:
    """Return version -> why, of those that the gate or a person rejected."""
    query = (
        sa.select(decision.c.evidence["version"].astext, decision.c.reasons)
        .where(
            decision.c.classifier == classifier,
            decision.c.subject.in_(("gate", "rollout")),
            decision.c.kind == "reject",
        )
        .order_by(decision.c.id)
    )
    return {
        version: "; ".join(reasons) for version, reasons in connection.execute(query) if version
    }
