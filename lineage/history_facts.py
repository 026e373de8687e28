"""Gathers what happened to a version and to its answers, from the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from core.contracts import Deployment
from core.deployments import history
from core.tables.loop import decision, drift_report, feedback
from core.tables.pins import says_more_than_the_pin
from flows.context import LoopContext
from monitoring.drift.faults import is_faulty
from monitoring.labels.feedback import CORRECTED, answered, newest_feedback
from pipelines.registry import RegisteredVersion

Facts = dict[str, Any]


def verdicts(context: LoopContext, registered: RegisteredVersion) -> list[Facts]:
    """Decisions of the version's own run, and later ones that name the version."""
    table = decision.c
    run = registered.tags.get("run", "")
    of_its_run = sa.and_(table.run != "", table.run == run)
    names_it = table.evidence["version"].astext == registered.version
    by = table.evidence["by"].astext.label("by")
    query = (
        sa.select(table.decided_at, table.subject, table.kind, table.reasons, table.run, by)
        .where(table.classifier == registered.classifier, sa.or_(of_its_run, names_it))
        .order_by(table.id)
    )
    return _rows(context, query)


def deployments(context: LoopContext, registered: RegisteredVersion) -> list[Facts]:
    """The periods in which the version answered or scored.

    A row of a role ends where the next row of that role begins.
    """
    with context.engine.connect() as connection:
        entries = history(connection, registered.classifier)
    digest = registered.tags.get("head_digest", "")
    return [
        {
            "role": entry.role,
            "share": entry.share,
            "since": entry.since,
            "until": _end_of(entry, entries[place + 1 :]),
            "why": entry.why,
            "digest_holds": entry.model.head_digest == digest,
        }
        for place, entry in enumerate(entries)
        if entry.model.version == registered.version and entry.share > 0
    ]


def _end_of(entry: Deployment, later_entries: Sequence[Deployment]) -> datetime | None:
    return next((later.since for later in later_entries if later.role == entry.role), None)


def drift(context: LoopContext, registered: RegisteredVersion) -> dict[str, int]:
    """Number of windows of the version's answers, by the verdict of the watch."""
    table = drift_report.c
    query = (
        sa.select(table.verdict, sa.func.count())
        .where(table.classifier == registered.classifier, table.version == registered.version)
        .group_by(table.verdict)
        .order_by(table.verdict)
    )
    with context.engine.connect() as connection:
        return {verdict: count for verdict, count in connection.execute(query)}


def feedback_rows(context: LoopContext, classifier: str, snapshot: Mapping[str, Any]) -> int | None:
    """Corrected or confirmed answers of the classifier in the snapshot; None without a snapshot."""
    if "as_of" not in snapshot:
        return None
    newest = newest_feedback(received_by=snapshot["as_of"])
    answer = answered(CORRECTED)
    joined = newest.join(answer, answer.c.request_id == newest.c.request_id)
    query = sa.select(sa.func.count()).select_from(joined)
    with context.engine.connect() as connection:
        return connection.scalar(
            query.where(
                newest.c.classifier == classifier,
                says_more_than_the_pin(answer, sa.func.btrim(newest.c.label)),
                ~is_faulty(answer, as_of=snapshot["as_of"]),
            )
        )


def received_feedback(context: LoopContext, request_id: str) -> list[Facts]:
    """Feedback on an answer, oldest first."""
    query = (
        sa.select(feedback.c.received_at, feedback.c.label, feedback.c.author)
        .where(feedback.c.request_id == request_id)
        .order_by(feedback.c.received_at, feedback.c.id)
    )
    return _rows(context, query)


def _rows(context: LoopContext, query: sa.Select[Any]) -> list[Facts]:
    with context.engine.connect() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]
