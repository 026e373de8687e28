"""What one press of a key does: answers an item, and later the open draws of its phrase.

A label becomes feedback when it is decided, once per item.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.errors import InvalidFeedback, UnknownRequest
from core.tables.loop import feedback
from core.tables.review import IS_OPEN, review_answer, review_item, review_lease
from monitoring.review.deciding import Answer, feedback_kind, judge_answers
from monitoring.review.source_rows import replaced_rows

Outcome = Literal["decided", "waits", "skipped", "late"]
"""Of an answer: it decided the item, other people must answer, or the item was decided before."""


@dataclass(frozen=True)
class Act:
    """An answer by one press of a key; `id` is unique per person, and sent again when in doubt.

    `alone`: nobody else reviews, so that one answer decides every item.
    """

    id: str
    person: str
    answer: Answer
    alone: bool = False


def answer_item(
    connection: Connection, classifier: str, item: int, act: Act, *, now: datetime
) -> Outcome:
    """Store an answer, and the feedback that it decides. The caller commits.

    An act that is known already changes nothing. Raises `UnknownRequest`, `InvalidFeedback` for an
    item that the person has answered otherwise.
    """
    row = lock_item(connection, classifier, item)
    if _known(connection, row.id, act):
        return _outcome(row, act)
    state = give_answer(connection, row, act, now=now)
    if act.answer.kind != "skip":
        _withdraw_others(connection, row, act.person, now)
    return state


def lock_item(connection: Connection, classifier: str, item: int) -> sa.Row[Any]:
    """Return an item, locked until the transaction ends. Raises `UnknownRequest`."""
    query = sa.select(review_item).where(
        review_item.c.id == item, review_item.c.classifier == classifier
    )
    row = connection.execute(query.with_for_update()).one_or_none()
    if row is None:
        raise UnknownRequest(
            f"an item of the queue of {classifier}", came=str(item), do="take the next item"
        )
    return row


def give_answer(connection: Connection, item: sa.Row[Any], act: Act, *, now: datetime) -> Outcome:
    """Store the answer to a locked item, and decide it where it can be decided."""
    connection.execute(
        sa.insert(review_answer).values(
            item=item.id,
            person=act.person,
            kind=act.answer.kind,
            label=act.answer.label,
            reason=act.answer.reason,
            act=act.id,
            answered_at=now,
        )
    )
    connection.execute(
        sa.delete(review_lease).where(
            review_lease.c.item == item.id, review_lease.c.person == act.person
        )
    )
    if act.answer.kind == "skip":
        return "skipped"
    if item.state == "withdrawn":  # while the person looked at it: a label given is not lost
        close_item(connection, item, now=now)
        return "decided"
    if item.state != "open":
        return "late"
    return judge_item(connection, item, alone=act.alone, now=now)


def judge_item(connection: Connection, item: sa.Row[Any], *, alone: bool, now: datetime) -> Outcome:
    """Decide a locked open item by its answers, or say how many people it needs."""
    answers = given_answers(connection, item.id)
    needs = 1 if alone else item.needs
    judgement = judge_answers([answer for _, answer in answers], needs=needs)
    if judgement.decided is None:
        _update(connection, item.id, needs=item.needs if alone else judgement.needs)
        return "waits"
    _decide(connection, item, answers, judgement.decided, now=now)
    return "decided"


def close_item(connection: Connection, item: sa.Row[Any], *, now: datetime) -> bool:
    """Decide a locked item by its newest answer, as no more will come; False without any."""
    answers = given_answers(connection, item.id)
    if answers:
        _decide(connection, item, answers, answers[-1][1], now=now)
    return bool(answers)


def given_answers(connection: Connection, item: int) -> list[tuple[str, Answer]]:
    """Return (person, answer) of an item in order, without skips and what was undone."""
    table = review_answer.c
    query = (
        sa.select(table.person, table.kind, table.label)
        .where(table.item == item, table.undone_at.is_(None), table.kind != "skip")
        .order_by(table.id)
    )
    return [(row.person, Answer(row.kind, row.label)) for row in connection.execute(query)]


def _decide(
    connection: Connection,
    item: sa.Row[Any],
    answers: Sequence[tuple[str, Answer]],
    decided: Answer,
    *,
    now: datetime,
) -> None:
    kind = feedback_kind(
        decided, answered=item.label, probability=item.probability, people=len(answers)
    )
    values = {
        "received_at": now,
        "request_id": item.request_id,
        "classifier": item.classifier,
        "label": decided.label or "",
        "author": answers[-1][0],
        "kind": kind,
        "probability": item.probability,
    }
    rows = [{**values, **replaced} for replaced in replaced_rows(item)]
    query = sa.insert(feedback).returning(feedback.c.id, sort_by_parameter_order=True)
    row = connection.scalars(query, rows or [values]).all()[0]
    _update(
        connection,
        item.id,
        state="decided",
        decided_label=decided.label,
        decided_at=now,
        feedback=row,
    )
    connection.execute(sa.delete(review_lease).where(review_lease.c.item == item.id))


def _update(connection: Connection, item: int, **values: Any) -> None:
    connection.execute(sa.update(review_item).where(review_item.c.id == item).values(values))


def _known(connection: Connection, item: int, act: Act) -> bool:
    """Return whether the act is stored. Raises `InvalidFeedback` for another answer."""
    table = review_answer.c
    query = sa.select(table.act, table.undone_at).where(
        table.item == item, table.person == act.person
    )
    rows = list(connection.execute(query))
    if any(row.act == act.id for row in rows):
        return True
    if any(row.undone_at is None for row in rows):
        raise InvalidFeedback(
            "one answer of a person to an item",
            came="a second one",
            do="undo the first, or take the next item",
        )
    return False


def _outcome(item: sa.Row[Any], act: Act) -> Outcome:
    if act.answer.kind == "skip":
        return "skipped"
    return "waits" if item.state == "open" else "decided"


def _of_phrase(item: sa.Row[Any]) -> tuple[sa.ColumnElement[bool], ...]:
    table = review_item.c
    return (
        table.classifier == item.classifier,
        table.cleaned == item.cleaned,
        IS_OPEN,
        table.id != item.id,
    )


def answer_as_before(connection: Connection, classifier: str, item: int, *, now: datetime) -> bool:
    """Give a random item the label that its phrase got while it waited; False without one.

    Called when its turn comes, not before: draws that were labelled along with others of their
    phrase would be more often of frequent phrases than of rare ones, unless all are labelled.
    """
    row = lock_item(connection, classifier, item)
    act = _act_on_twin(connection, row) if row.probability is not None else None
    if act is None:
        return False
    give_answer(connection, row, act, now=now)
    return True


def _act_on_twin(connection: Connection, item: sa.Row[Any]) -> Act | None:
    """Return the newest act that decided another item of the phrase, of somebody new to this."""
    answer = review_answer.c
    other = review_item.c
    have_answered = sa.select(answer.person).where(
        answer.item == item.id, answer.undone_at.is_(None)
    )
    query = (
        sa.select(review_answer)
        .join(review_item, other.id == answer.item)
        .where(
            other.classifier == item.classifier,
            other.cleaned == item.cleaned,
            other.state == "decided",
            other.decided_at >= item.created_at,
            answer.undone_at.is_(None),
            answer.kind != "skip",
            answer.label.is_not_distinct_from(other.decided_label),
            answer.person.not_in(have_answered),
        )
        .order_by(answer.id.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    # Alone: a person's own answer again is neither a second opinion nor agreement.
    return Act(row.act, row.person, Answer(row.kind, row.label), alone=True)


def _withdraw_others(connection: Connection, item: sa.Row[Any], person: str, now: datetime) -> None:
    """Ask nobody again for a phrase, unless somebody looks at it or has answered."""
    lease = review_lease.c
    seen = sa.or_(
        sa.exists().where(
            lease.item == review_item.c.id, lease.person != person, lease.until > now
        ),
        sa.exists().where(review_answer.c.item == review_item.c.id),
    )
    others = sa.update(review_item).where(
        *_of_phrase(item), review_item.c.probability.is_(None), ~seen
    )
    connection.execute(others.values(state="withdrawn"))
