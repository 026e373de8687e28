"""Registers fixes, and counts the later answers that say the same as they arrive.

A fix is a label that contradicts the answer it was given for. Its phrase is asked again: each later
answer that says the fix's label, by itself or by a pin, is one that the fix made different.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection

from core.contracts import ANSWERING
from core.feedback import is_label
from core.tables.answers import ROUTED, answers_counted
from core.tables.fixes import fix
from core.tables.loop import asked_by_clients, feedback, inference
from core.tables.phrases import phrase_key
from core.tables.pins import answered_label

LABELLED = 5_000
"""Feedback rows that one transaction looks at: about a quarter of a second."""
COLUMNS = [column.name for column in fix.columns if column.name != "answers"]


def has_new_feedback(connection: Connection, classifier: str) -> bool:
    """Return whether there is feedback that no call of `register_fixes` has looked at."""
    newest = connection.scalar(sa.select(sa.func.max(feedback.c.id))) or 0
    return newest > _looked_at(connection, classifier)


def register_fixes(connection: Connection, classifier: str, *, settled: int) -> bool:
    """Register the fixes among the next LABELLED feedback rows; return whether these were all.

    `settled`: no row at or below this id appears later. The caller holds the row of
    `answers_counted`, and commits.
    """
    after = _looked_at(connection, classifier)
    if after >= settled:
        return True
    until = _end_of_chunk(connection, after, settled)
    chosen = (
        feedback.c.classifier == classifier,
        feedback.c.id > after,
        feedback.c.id <= until,
        feedback.c.phrase.is_(None),
        is_label(),
    )
    connection.execute(_insert_fixes(chosen))
    connection.execute(
        sa.update(answers_counted)
        .where(answers_counted.c.classifier == classifier)
        .values(feedback=until)
    )
    return until >= settled


def count_effects(classifier: str, *, after: int, until: int) -> sa.Update:
    """Add the answers with `after` < sequence <= `until` to the fixes that they agree with."""
    fresh = (
        sa.select(fix.c.feedback, sa.func.count().label("answers"))
        .where(
            fix.c.key == phrase_key(inference.c.cleaned),
            fix.c.cleaned == inference.c.cleaned,
            fix.c.label == answered_label(),
            fix.c.received_at < inference.c.occurred_at,
            fix.c.classifier == classifier,
            inference.c.classifier == classifier,
            inference.c.sequence > after,
            inference.c.sequence <= until,
            inference.c.role.in_(ROUTED),
            asked_by_clients(),
        )
        .group_by(fix.c.feedback)
        .subquery()
    )
    return (
        sa.update(fix)
        .where(fix.c.feedback == fresh.c.feedback)
        .values(answers=fix.c.answers + fresh.c.answers)
    )


def _insert_fixes(chosen: tuple[sa.ColumnElement[bool], ...]) -> sa.Executable:
    """Insert the feedback that contradicts the answer of its request."""
    label = sa.func.btrim(feedback.c.label)
    answer = (
        sa.select(inference)
        .where(
            inference.c.request_id == feedback.c.request_id,
            inference.c.classifier == feedback.c.classifier,
            inference.c.role.in_(ANSWERING),
        )
        .order_by(inference.c.occurred_at)
        .limit(1)
        .lateral()
    )
    rows = (
        sa.select(
            feedback.c.id,
            feedback.c.classifier,
            feedback.c.author,
            feedback.c.request_id,
            answer.c.phrase,
            answer.c.cleaned,
            phrase_key(answer.c.cleaned),
            answer.c.version,
            answered_label(answer),
            label,
            feedback.c.received_at,
        )
        .select_from(feedback.join(answer, sa.true()))
        .where(*chosen, answered_label(answer) != label)
    )
    return insert(fix).from_select(COLUMNS, rows).on_conflict_do_nothing()


def _looked_at(connection: Connection, classifier: str) -> int:
    query = sa.select(answers_counted.c.feedback).where(answers_counted.c.classifier == classifier)
    return connection.scalar(query) or 0


def _end_of_chunk(connection: Connection, after: int, settled: int) -> int:
    query = (
        sa.select(feedback.c.id)
        .where(feedback.c.id > after, feedback.c.id <= settled)
        .order_by(feedback.c.id)
        .offset(LABELLED - 1)
        .limit(1)
    )
    return connection.scalar(query) or settled
