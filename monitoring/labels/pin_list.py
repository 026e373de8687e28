"""Every pin of a classifier: who, when, why, until when, and how often it answered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.pins import Pin, read_pins
from core.tables.loop import inference
from core.tables.pins import pin as pin_table
from core.tables.pins import says_more_than_the_pin
from monitoring.labels.feedback import newest_feedback

LISTED = 2_000
PAST_ROWS = 10_000
"""A pin that ended has two rows: years of changes by hand."""

State = Literal["answers", "over", "ended"]


@dataclass(frozen=True, slots=True)
class ListedPin:
    """A pin and what became of it.

    A pin `answers`, its time is `over`, or somebody `ended` it. `answers` counts the logged answers
    that it gave: none while it rests. `contradicted` of them have feedback with another label.
    """

    pin: Pin
    state: State
    ended_at: datetime | None = None
    ended_by: str | None = None
    ended_why: str | None = None
    answers: int = 0
    last_answer: datetime | None = None
    contradicted: int = 0


def list_pins(
    connection: Connection, classifier: str, *, now: datetime, past: bool = False
) -> list[ListedPin]:
    """Return the pins that answer, the newest first; with `past`, also those that do not.

    At most LISTED. Those that do not answer are found among the PAST_ROWS newest changes.
    """
    known = read_pins(connection, now=now, classifier=classifier).pins
    listed = [ListedPin(each, "answers") for each in known]
    if past:
        history = pin_history(_newest_rows(connection, classifier), now=now)
        listed += [each for each in history if each.state != "answers"]
    listed.sort(key=lambda each: each.pin.id, reverse=True)
    return with_counts(connection, listed[:LISTED])


def _newest_rows(connection: Connection, classifier: str) -> list[sa.Row[Any]]:
    """Return the newest rows of the table, in order of their ids."""
    table = pin_table.c
    query = sa.select(pin_table).where(table.classifier == classifier)
    rows = connection.execute(query.order_by(table.id.desc()).limit(PAST_ROWS)).all()
    return list(rows[::-1])


def pin_history(rows: Iterable[Any], *, now: datetime) -> list[ListedPin]:
    """Return every pin, the oldest first. `rows` are those of the table, in order of their ids."""
    listed: list[ListedPin] = []
    place_of: dict[tuple[str, str], int] = {}
    for row in rows:
        phrase = (row.classifier, row.cleaned)
        place = place_of.pop(phrase, None)
        if place is not None and listed[place].pin.answers_at(row.since):
            listed[place] = _ended(listed[place], row)
        if row.label is not None:
            place_of[phrase] = len(listed)
            listed.append(_begun(Pin(*row), now))
    return listed


def _ended(before: ListedPin, row: Any) -> ListedPin:
    return replace(
        before, state="ended", ended_at=row.since, ended_by=row.author, ended_why=row.why
    )


def _begun(pin: Pin, now: datetime) -> ListedPin:
    if pin.answers_at(now):
        return ListedPin(pin, "answers")
    return ListedPin(pin, "over", ended_at=pin.until)


def with_counts(connection: Connection, listed: Sequence[ListedPin]) -> list[ListedPin]:
    """Add what the log and the feedback say of each pin."""
    numbers = [each.pin.id for each in listed]
    answered = _answered(connection, numbers)
    contradicted = _contradicted(connection, numbers)
    return [
        replace(
            each,
            answers=answered.get(each.pin.id, (0, None))[0],
            last_answer=answered.get(each.pin.id, (0, None))[1],
            contradicted=contradicted.get(each.pin.id, 0),
        )
        for each in listed
    ]


def _answered(connection: Connection, numbers: list[int]) -> dict[int, tuple[int, datetime]]:
    table = inference.c
    query = (
        sa.select(table.pin, sa.func.count(), sa.func.max(table.occurred_at))
        .where(table.pin.is_not(None), table.pin.in_(numbers))
        .group_by(table.pin)
    )
    return {number: (count, last) for number, count, last in connection.execute(query)}


def _contradicted(connection: Connection, numbers: list[int]) -> dict[int, int]:
    newest = newest_feedback()
    table = inference.c
    query = (
        sa.select(table.pin, sa.func.count())
        .join(newest, newest.c.request_id == table.request_id)
        .where(
            table.pin.is_not(None),
            table.pin.in_(numbers),
            says_more_than_the_pin(inference, sa.func.btrim(newest.c.label)),
        )
        .group_by(table.pin)
    )
    return {number: count for number, count in connection.execute(query)}
