"""What became of each fix: which snapshot holds it, what learnt it, what the gate said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.tables.fixes import fix
from core.tables.loop import decision, deployment, feedback, memory_revision, snapshot

SHOWN = 50
READ = 5_000
"""Revisions, snapshots and verdicts that one page reads, newest first."""


@dataclass(frozen=True)
class Fix:
    """A label that contradicted an answer.

    `version` answered `before`; `label` is right. `answers` later answers to the phrase say so.
    `replaced_at` is when another label of the same answer came, None when none did.
    """

    id: int
    received_at: datetime
    author: str
    request_id: str
    phrase: str
    version: str
    before: str
    label: str
    answers: int
    replaced_at: datetime | None


@dataclass(frozen=True)
class Revision:
    """A revision of the memory; `enabled` is False for one that does not answer."""

    number: int
    made_at: datetime
    as_of: datetime
    last_feedback: int
    enabled: bool


@dataclass(frozen=True)
class TakenSnapshot:
    """A snapshot that trained; `git_tag` finds it."""

    as_of: datetime
    git_tag: str


@dataclass(frozen=True)
class Trained:
    """A version, what the gate said of it, and since when it answers; None when it never did."""

    version: str
    as_of: datetime
    kind: str
    reasons: tuple[str, ...]
    answers_since: datetime | None


@dataclass(frozen=True)
class History:
    """What happened to a classifier, oldest first."""

    revisions: Sequence[Revision]
    snapshots: Sequence[TakenSnapshot]
    versions: Sequence[Trained]


@dataclass(frozen=True)
class FixOutcome:
    """What became of a fix. `learnt` is the first version that trained with it, `answering` the
    first of those that came to answer; each is None before it happens.
    """

    fix: Fix
    snapshot: TakenSnapshot | None
    revision: Revision | None
    learnt: Trained | None
    answering: Trained | None


@dataclass(frozen=True)
class FixTotals:
    """How many fixes somebody gave, and how many answers they made different."""

    fixes: int
    answers: int


def outcome_of(fix: Fix, history: History) -> FixOutcome:
    """Say what became of a fix. Pure.

    A file may date its labels before it was imported. A revision that could have known the fix
    and does not tells that it was not there yet, and no snapshot up to then holds it either.
    """
    due = [revision for revision in history.revisions if revision.as_of >= fix.received_at]
    knowing = next((row for row in due if row.last_feedback >= fix.id), None)
    missed = [row.made_at for row in due if row.last_feedback < fix.id]

    def holds(as_of: datetime) -> bool:
        is_there = as_of >= fix.received_at and all(as_of > moment for moment in missed)
        return is_there and (fix.replaced_at is None or as_of < fix.replaced_at)

    learnt = [version for version in history.versions if holds(version.as_of)]
    return FixOutcome(
        fix,
        snapshot=next((row for row in history.snapshots if holds(row.as_of)), None),
        revision=knowing,
        learnt=learnt[0] if learnt else None,
        answering=next((version for version in learnt if version.answers_since), None),
    )


def read_fixes(
    connection: Connection,
    classifier: str,
    *,
    author: str | None = None,
    before: int | None = None,
) -> list[Fix]:
    """Return the SHOWN newest fixes, of one author or of all; `before`: only with a lower id."""
    query = sa.select(fix, _replaced_at().label("replaced_at")).where(
        fix.c.classifier == classifier
    )
    if author is not None:
        query = query.where(fix.c.author == author)
    if before is not None:
        query = query.where(fix.c.feedback < before)
    rows = connection.execute(query.order_by(fix.c.feedback.desc()).limit(SHOWN))
    return [_fix(row) for row in rows.mappings()]


def read_history(
    connection: Connection, classifier: str, *, dataset: str | None, since: datetime
) -> History:
    """Read what happened from a moment on. `dataset` is None for a classifier without a block."""
    return History(
        revisions=_revisions(connection, classifier, since),
        snapshots=_snapshots(connection, dataset, since) if dataset else (),
        versions=_versions(connection, classifier, since),
    )


def count_fixes(connection: Connection, classifier: str, *, author: str) -> FixTotals:
    """Count the fixes of somebody. Two fixes of one phrase made the same answers different."""
    phrases = (
        sa.select(sa.func.count().label("fixes"), sa.func.max(fix.c.answers).label("answers"))
        .where(fix.c.classifier == classifier, fix.c.author == author)
        .group_by(fix.c.key, fix.c.label)
        .subquery()
    )
    row = connection.execute(
        sa.select(sa.func.sum(phrases.c.fixes), sa.func.sum(phrases.c.answers))
    ).one()
    return FixTotals(int(row[0] or 0), int(row[1] or 0))


def _fix(row: Any) -> Fix:
    names = ("received_at", "author", "request_id", "phrase", "version", "before", "label")
    values = {name: row[name] for name in names}
    return Fix(id=row["feedback"], answers=row["answers"], replaced_at=row["replaced_at"], **values)


def _replaced_at() -> sa.ScalarSelect[datetime]:
    """Select when the next label of the same answer came."""
    later = feedback.alias("later")
    is_later = sa.or_(
        later.c.received_at > fix.c.received_at,
        sa.and_(later.c.received_at == fix.c.received_at, later.c.id > fix.c.feedback),
    )
    query = sa.select(sa.func.min(later.c.received_at)).where(
        later.c.request_id == fix.c.request_id, later.c.label != fix.c.label, is_later
    )
    return query.scalar_subquery()


def _revisions(connection: Connection, classifier: str, since: datetime) -> list[Revision]:
    table = memory_revision.c
    rows = connection.execute(
        sa.select(
            table.revision,
            table.made_at,
            table.as_of,
            sa.func.coalesce(table.last_feedback, 0),
            table.enabled,
        )
        .where(table.classifier == classifier, table.as_of >= since)
        .order_by(table.revision.desc())
        .limit(READ)
    )
    return [Revision(*row) for row in rows][::-1]


def _snapshots(connection: Connection, dataset: str, since: datetime) -> list[TakenSnapshot]:
    table = snapshot.c
    rows = connection.execute(
        sa.select(table.as_of, table.git_tag)
        .where(table.dataset == dataset, table.as_of >= since, table.git_tag != "")
        .order_by(table.as_of.desc(), table.id.desc())
        .limit(READ)
    )
    return [TakenSnapshot(*row) for row in rows][::-1]


def _versions(connection: Connection, classifier: str, since: datetime) -> list[Trained]:
    """Return the versions that a gate judged; a retraining has one moment, that of its verdict."""
    table = decision.c
    version = table.evidence["version"].astext
    began = (
        sa.select(sa.func.min(deployment.c.since))
        .where(
            deployment.c.classifier == classifier,
            deployment.c.role == "champion",
            deployment.c.version == version,
        )
        .scalar_subquery()
    )
    rows = connection.execute(
        sa.select(version, table.decided_at, table.kind, table.reasons, began)
        .where(
            table.classifier == classifier,
            table.subject == "gate",
            table.decided_at >= since,
            version.is_not(None),
        )
        .order_by(table.decided_at.desc(), table.id.desc())
        .limit(READ)
    )
    return [
        Trained(name, as_of, kind, tuple(reasons), answers_since)
        for name, as_of, kind, reasons, answers_since in rows
    ][::-1]
