"""Refused heads as rows of `decision`."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from bentos.heads.live_heads import Refused
from core.contracts import Verdict
from core.decisions import record_decision
from core.deployments import hold_rollout
from core.tables import decision

SUBJECT, KIND = "rollout", "refuse"


def record_refusals(engine: Engine, refusals: Sequence[Refused]) -> None:
    """Write each once for its row of `deployment`, however many services refuse it and however often they start. Raises SQLAlchemyError."""
    with engine.begin() as connection:
        for refused in refusals:
            entry, classifier = refused.entry, refused.entry.model.classifier
            evidence = {
                "version": entry.model.version,
                "role": entry.role,
                "since": entry.since.isoformat(),
            }
            hold_rollout(connection, classifier)
            if not _recorded(connection, classifier, evidence):
                told = Verdict(
                    KIND, (refused.reason,), {**evidence, "digest": entry.model.head_digest}
                )
                record_decision(
                    connection, told, classifier=classifier, subject=SUBJECT, decided_at=refused.at
                )


def _recorded(connection: Connection, classifier: str, evidence: dict[str, str]) -> bool:
    mine = (
        decision.c.classifier == classifier,
        decision.c.subject == SUBJECT,
        decision.c.kind == KIND,
    )
    return bool(
        connection.scalar(
            sa.select(sa.exists().where(*mine, decision.c.evidence.contains(evidence)))
        )
    )
