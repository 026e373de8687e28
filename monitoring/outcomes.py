"""What a classifier waits for: the newest verdict, where it needs a person or time."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.tables import decision

UNFINISHED = ("hold", "wait", "failed")
BY_HAND = ("promote", "reject", "roll_back")
"""What a person decides about versions; a canary or a shadow decides nothing."""
BEGINS = "retrain"
"""A request that was granted; what became of it is another decision."""


def read_unfinished(connection: Connection) -> dict[str, str]:
    """Return one sentence per classifier whose newest verdict is one of `UNFINISHED`."""
    table = decision.c
    by_flow = table.subject.in_(("gate", "retraining"))
    by_hand = sa.and_(table.subject == "rollout", table.kind.in_(BY_HAND))
    newest = (
        sa.select(
            table.classifier,
            table.kind,
            table.decided_at,
            table.reasons,
            table.evidence["version"].astext.label("version"),
        )
        .distinct(table.classifier)
        .where(sa.or_(by_flow, by_hand), table.kind != BEGINS)
        .order_by(table.classifier, table.id.desc())
    )
    return {
        row.classifier: _sentence(row)
        for row in connection.execute(newest)
        if row.kind in UNFINISHED
    }


def _sentence(row: sa.Row[Any]) -> str:
    version = f" of version {row.version}" if row.kind == "hold" and row.version else ""
    return f"{row.kind}{version} since {row.decided_at:%Y-%m-%d %H:%M}: {row.reasons[0]}"
