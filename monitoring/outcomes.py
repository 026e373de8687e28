"""What a classifier waits for: a version that a person decides about, time, or a repair."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.tables.loop import decision

UNFINISHED = ("wait", "failed")
ANSWERED = ("promote", "roll_back", "retire")
"""What a person decides about the champion: what came of the retraining before is answered, and a
held version was compared with another champion."""
BEGINS = "retrain"
"""A request that was granted; what became of it is another decision."""


@dataclass(frozen=True)
class Unfinished:
    """A verdict "hold", "wait" or "failed"; `version` is the held one, "" for the other kinds."""

    kind: str
    version: str
    since: datetime
    reason: str

    @property
    def sentence(self) -> str:
        version = f" of version {self.version}" if self.version else ""
        return f"{self.kind}{version} since {self.since:%Y-%m-%d %H:%M}: {self.reason}"


def read_unfinished(connection: Connection) -> dict[str, list[Unfinished]]:
    """Return classifier -> its held version, and its newest verdict if that waits or failed.

    A version is held until a person promotes or rejects it, another version answers or none does
    any more, or the gate has judged a newer candidate.
    """
    unfinished: dict[str, list[Unfinished]] = defaultdict(list)
    for query in (_held_versions(), _newest_verdicts()):
        for row in connection.execute(query):
            version = (row.version or "") if row.kind == "hold" else ""
            unfinished[row.classifier].append(
                Unfinished(row.kind, version, row.decided_at, row.reasons[0])
            )
    return dict(unfinished)


def _held_versions() -> sa.Select[Any]:
    return _open(_newest_of(decision.c.subject == "gate"), "hold")


def _newest_verdicts() -> sa.Select[Any]:
    by_flow = decision.c.subject.in_(("gate", "retraining"))
    return _open(_newest_of(by_flow, decision.c.kind != BEGINS), *UNFINISHED)


def _open(newest: sa.Select[Any], *kinds: str) -> sa.Select[Any]:
    """Select those of these kinds about which nobody has decided since."""
    verdict = newest.subquery()
    later = sa.alias(decision).c
    rejected = sa.and_(
        later.kind == "reject", later.evidence["version"].astext == verdict.c.version
    )
    ended = sa.exists().where(
        later.classifier == verdict.c.classifier,
        later.subject == "rollout",
        later.id > verdict.c.id,
        sa.or_(later.kind.in_(ANSWERED), rejected),
    )
    return sa.select(verdict).where(verdict.c.kind.in_(kinds), ~ended)


def _newest_of(*conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Select the newest of these decisions of every classifier."""
    table = decision.c
    return (
        sa.select(
            table.id,
            table.classifier,
            table.kind,
            table.decided_at,
            table.reasons,
            table.evidence["version"].astext.label("version"),
        )
        .distinct(table.classifier)
        .where(*conditions)
        .order_by(table.classifier, table.id.desc())
    )
