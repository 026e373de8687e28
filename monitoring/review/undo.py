"""Takes an act back: its answers do not count, and the feedback that they decided is removed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.errors import Busy, InvalidFeedback, UnknownRequest
from core.locks import AdvisoryLock
from core.tables.fixes import fix
from core.tables.loop import feedback, memory_revision, snapshot
from core.tables.review import IS_OPEN, review_answer, review_item, review_lease
from monitoring.review.acts import close_item, given_answers, judge_item
from monitoring.review.queue import lease_item
from monitoring.review.source_rows import is_feedback_of


def undo_act(
    connection: Connection, classifier: str, *, person: str, act: str, now: datetime
) -> list[int]:
    """Undo what a person did at once; return its items, the first of them leased to the person.

    The caller commits. Raises `UnknownRequest` for an act that is not there or undone already, and
    `InvalidFeedback` where a snapshot or a memory has read the label.
    """
    answers = _answers_of(connection, classifier, person=person, act=act)
    if not answers:
        raise UnknownRequest(
            "an act of yours that is not undone", came=act[:80], do="undo a newer one"
        )
    for answer in answers:
        _undo(connection, answer, now=now)
    items = [answer.item for answer in answers]
    lease_item(connection, items[0], person=person, now=now)
    return items


def newest_act(connection: Connection, classifier: str, *, person: str) -> str | None:
    """Return the newest act of a person that is not undone."""
    query = (
        _live_answers(classifier, person)
        .with_only_columns(review_answer.c.act)
        .order_by(review_answer.c.id.desc())
        .limit(1)
    )
    act: str | None = connection.scalar(query)
    return act


def _live_answers(classifier: str, person: str) -> sa.Select[Any]:
    return (
        sa.select(review_answer)
        .join(review_item, review_item.c.id == review_answer.c.item)
        .where(
            review_item.c.classifier == classifier,
            review_answer.c.person == person,
            review_answer.c.undone_at.is_(None),
        )
    )


def _answers_of(
    connection: Connection, classifier: str, *, person: str, act: str
) -> list[sa.Row[Any]]:
    """Return the answers of an act in order, with their items locked."""
    query = _live_answers(classifier, person).where(review_answer.c.act == act)
    return list(connection.execute(query.order_by(review_answer.c.id).with_for_update()))


def _undo(connection: Connection, answer: sa.Row[Any], *, now: datetime) -> None:
    connection.execute(
        sa.update(review_answer).where(review_answer.c.id == answer.id).values(undone_at=now)
    )
    item = connection.execute(sa.select(review_item).where(review_item.c.id == answer.item)).one()
    is_late = item.decided_at is not None and answer.answered_at > item.decided_at
    if answer.kind == "skip" or item.state == "withdrawn" or is_late:
        return
    if item.feedback is not None:
        _take_back(connection, item)
    _reopen(connection, item, person=answer.person, now=now)


def _take_back(connection: Connection, item: sa.Row[Any]) -> None:
    """Delete the feedback of an item. Raises `InvalidFeedback` when training has read it."""
    lock = sa.select(
        sa.func.pg_try_advisory_xact_lock(
            sa.func.hashtextextended(item.classifier, AdvisoryLock.MEMORY.value)
        )
    )
    if not connection.scalar(lock):
        raise Busy(
            "labels that no memory is reading now",
            came="a memory that is being made",
            do="try again in a minute",
        )
    memory = sa.exists().where(
        memory_revision.c.classifier == item.classifier,
        memory_revision.c.last_feedback >= item.feedback,
    )
    trained = sa.exists().where(snapshot.c.as_of >= item.decided_at)
    if connection.scalar(sa.select(sa.or_(memory, trained))):
        raise InvalidFeedback(
            "a label that no snapshot or memory has read",
            came=f"one of {item.decided_at:%Y-%m-%d %H:%M}",
            do="search the answer and label it again: the newest label counts",
        )
    connection.execute(sa.delete(fix).where(fix.c.feedback == item.feedback))
    connection.execute(sa.delete(feedback).where(is_feedback_of(item)))


def _reopen(connection: Connection, item: sa.Row[Any], *, person: str, now: datetime) -> None:
    """Let the item wait again, or decide it by the answers that are left.

    Its phrase may be queued again by now. Where somebody else has that twin in hand, the twin goes
    on waiting, and the item is withdrawn: a label that the person still gives it counts.
    """
    waits = item.probability is not None or _withdraw_twin(connection, item, person, now)
    opened = {
        "state": "open" if waits else "withdrawn",
        "needs": min(item.needs, 2),
        "decided_label": None,
        "decided_at": None,
        "feedback": None,
    }
    query = sa.update(review_item).where(review_item.c.id == item.id).values(opened)
    row = connection.execute(query.returning(*review_item.c)).one()
    if not waits:
        close_item(connection, row, now=now)
    elif given_answers(connection, item.id):
        judge_item(connection, row, alone=False, now=now)


def _withdraw_twin(connection: Connection, item: sa.Row[Any], person: str, now: datetime) -> bool:
    """Withdraw the open item of the same phrase; False when somebody else has it in hand."""
    lease = review_lease.c
    answer = review_answer.c
    twin = (
        review_item.c.classifier == item.classifier,
        review_item.c.cleaned == item.cleaned,
        IS_OPEN,
        review_item.c.probability.is_(None),
        review_item.c.id != item.id,
    )
    in_hand = sa.or_(
        sa.exists().where(
            lease.item == review_item.c.id, lease.person != person, lease.until > now
        ),
        sa.exists().where(
            answer.item == review_item.c.id, answer.undone_at.is_(None), answer.kind != "skip"
        ),
    )
    connection.execute(sa.update(review_item).where(*twin, ~in_hand).values(state="withdrawn"))
    return not connection.scalar(sa.select(sa.exists().where(*twin)))
