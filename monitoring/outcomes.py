"""What a classifier waits for: the newest verdict, where it needs a person or time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.tables import decision

UNFINISHED = ("hold", "wait", "failed")
BY_HAND = ("promote", "reject", "roll_back")
"""What a person decides about versions; a canary or a shadow decides nothing."""
BEGINS = "retrain"
"""A request that was granted; what became of it is another decision."""


@dataclass(frozen=True)
class Unfinished:
    """A newest verdict of `UNFINISHED`; `version` is the held one, "" for the other kinds."""

    kind: str
    version: str
    since: datetime
    reason: str

    @property
    def sentence(self) -> str:
        version = f" of version {self.version}" if self.version else ""
        return f"{self.kind}{version} since {self.since:%Y-%m-%d %H:%M}: {self.reason}"


def read_unfinished(connection: Connection) -> dict[str, Unfinished]:
    """Return classifier -> its newest verdict, where that is one of `UNFINISHED`."""
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
        row.classifier: _unfinished(row)
        for row in connection.execute(newest)
        if row.kind in UNFINISHED
    }


def _unfinished(row: sa.Row[tuple[str, str, datetime, list[str], str | None]]) -> Unfinished:
    version = row.version if row.kind == "hold" else None
    return Unfinished(row.kind, version or "", row.decided_at, row.reasons[0])
