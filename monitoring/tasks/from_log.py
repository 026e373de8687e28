"""Tasks and labels from the log of answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.contracts import ANSWERING
from core.tables.loop import asked_by_clients, feedback, inference
from monitoring.labels.feedback import answered
from monitoring.tasks.task import Task

SCANNED = 200_000
"""Answers that are looked through, at most: a log may consist of a few phrases."""


def tasks_to_label(connection: Connection, classifier: str, *, limit: int) -> list[Task]:
    """Return the newest answers that nobody has labelled, newest first, one per phrase."""
    labelled = sa.exists().where(feedback.c.request_id == inference.c.request_id)
    query = (
        sa.select(inference)
        .where(
            inference.c.classifier == classifier,
            inference.c.role.in_(ANSWERING),
            asked_by_clients(),
            ~labelled,
        )
        .order_by(inference.c.sequence.desc())
        .limit(SCANNED)
    )
    rows = connection.execution_options(stream_results=True, yield_per=1000).execute(query)
    with rows:
        return [_task(row) for row in islice(_first_of_each_phrase(rows), limit)]


def labels_given(connection: Connection, classifier: str, *, limit: int) -> list[Task]:
    """Return the newest labels of logged answers, newest first."""
    newest = (
        sa.select(feedback)
        .where(
            feedback.c.classifier == classifier,
            feedback.c.phrase.is_(None),
            feedback.c.label != "",
        )
        .order_by(feedback.c.received_at.desc(), feedback.c.id.desc())
        .limit(limit)
        .subquery()
    )
    answer = answered(sa.select(newest.c.request_id))
    given = {name: newest.c[name] for name in _GIVEN}
    query = (
        sa.select(answer, *(column.label(f"given_{name}") for name, column in given.items()))
        .join(newest, newest.c.request_id == answer.c.request_id)
        .order_by(newest.c.received_at.desc(), newest.c.id.desc())
    )
    return [_labelled(row) for row in connection.execute(query)]


_GIVEN = ("label", "author", "received_at", "kind", "probability")


def _first_of_each_phrase(rows: Iterable[sa.Row[Any]]) -> Iterator[sa.Row[Any]]:
    seen: set[str] = set()
    for row in rows:
        if row.cleaned not in seen:
            seen.add(row.cleaned)
            yield row


def _task(row: sa.Row[Any]) -> Task:
    return Task(
        row.request_id,
        row.phrase,
        classifier=row.classifier,
        version=row.version,
        answer=row.label,
        confidence=row.probability,
        alternatives=tuple((label, probability) for label, probability in row.alternatives),
        answered_at=row.occurred_at,
        region=row.region,
    )


def _labelled(row: sa.Row[Any]) -> Task:
    return replace(_task(row), **{name: getattr(row, f"given_{name}") for name in _GIVEN})
