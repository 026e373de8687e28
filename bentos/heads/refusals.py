"""Refused heads as rows of `decision`."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from bentos.heads.live_heads import Refused
from core.contracts import Verdict
from core.decisions import record_decision
from core.deployments import hold_rollout
from core.tables.loop import decision

SUBJECT = "rollout"
KIND = "refuse"


def record_refusals(engine: Engine, refusals: Sequence[Refused]) -> None:
    """Record each refusal once per row of `deployment`, whichever services refuse it.

    Raises SQLAlchemyError.
    """
    with engine.begin() as connection:
        for refused in refusals:
            entry = refused.entry
            classifier = entry.model.classifier
            evidence = {
                "version": entry.model.version,
                "role": entry.role,
                "since": entry.since.isoformat(),
            }
            hold_rollout(connection, classifier)
            if not _recorded(connection, classifier, evidence):
                verdict = Verdict(
                    KIND, (refused.reason,), {**evidence, "digest": entry.model.head_digest}
                )
                record_decision(
                    connection,
                    verdict,
                    classifier=classifier,
                    subject=SUBJECT,
                    decided_at=refused.at,
                )


def _recorded(connection: Connection, classifier: str, evidence: dict[str, str]) -> bool:
    same_refusal = sa.exists().where(
        decision.c.classifier == classifier,
        decision.c.subject == SUBJECT,
        decision.c.kind == KIND,
        decision.c.evidence.contains(evidence),
    )
    return bool(connection.scalar(sa.select(same_refusal)))
