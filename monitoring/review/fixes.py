"""One label for several phrases at once: what that concerns, and the act."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.contracts import ANSWERING
from core.tables.loop import asked_by_clients, inference
from core.tables.phrases import phrase_key
from core.tables.review import IS_OPEN, review_answer, review_item
from monitoring.review.acts import Act, answer_item
from monitoring.review.items import ReviewItem

NEIGHBOUR = "neighbour"
"""The strategy of items that somebody fixed together with another one."""


COUNTED = 2_000
"""Answers of a phrase that are counted: a preview of 50 phrases must not read the whole log."""


@dataclass(frozen=True)
class LoggedPhrase:
    """A phrase of the log: how many answers it has, at most COUNTED, and the newest of them."""

    cleaned: str
    answers: int
    newest: sa.Row[Any]

    @property
    def has_more(self) -> bool:
        """Return whether the phrase may have more answers than were counted."""
        return self.answers >= COUNTED


def logged_phrases(
    connection: Connection, classifier: str, cleaned: Sequence[str]
) -> list[LoggedPhrase]:
    """Return those of the phrases that the log holds, in the order of `cleaned`."""
    distinct = list(dict.fromkeys(cleaned))
    wanted = sa.select(sa.func.unnest(sa.literal(distinct, sa.ARRAY(sa.Text))).label("cleaned"))
    phrase = wanted.subquery()
    answers = _answers_of(classifier, phrase.c.cleaned)
    counted = answers.with_only_columns(sa.literal(1).label("one")).limit(COUNTED).lateral()
    counts = (
        sa.select(phrase.c.cleaned, sa.func.count())
        .join_from(phrase, counted, sa.true())
        .group_by(phrase.c.cleaned)
    )
    answers_of = dict(map(tuple, connection.execute(counts)))
    last = answers.limit(1).lateral()
    newest = connection.execute(sa.select(last).join_from(phrase, last, sa.true()))
    newest_of = {row.cleaned: row for row in newest}
    return [
        LoggedPhrase(name, answers_of[name], newest_of[name])
        for name in distinct
        if name in newest_of
    ]


def _answers_of(classifier: str, cleaned: sa.ColumnElement[str]) -> sa.Select[Any]:
    """Select the answers to one phrase, the newest first: the months before are not read then."""
    return (
        sa.select(inference)
        .where(
            inference.c.classifier == classifier,
            phrase_key(inference.c.cleaned) == phrase_key(cleaned),
            inference.c.cleaned == cleaned,
            inference.c.role.in_(ANSWERING),
            asked_by_clients(),
        )
        .order_by(inference.c.occurred_at.desc())
    )


def fix_phrases(
    connection: Connection,
    classifier: str,
    cleaned: Sequence[str],
    act: Act,
    *,
    now: datetime,
) -> list[LoggedPhrase]:
    """Give every phrase of the log that is named the act's answer: one label for each phrase.

    A phrase that waits in the queue is answered there. The caller commits. Returns the phrases.
    """
    phrases = logged_phrases(connection, classifier, cleaned)
    for phrase in phrases:
        item = _item_of(connection, classifier, phrase, act, now=now)
        if item is not None:
            answer_item(connection, classifier, item, act, now=now)
    return phrases


def _item_of(
    connection: Connection, classifier: str, phrase: LoggedPhrase, act: Act, *, now: datetime
) -> int | None:
    """Return the item of a phrase that the act answers; None when the person has answered it."""
    answer = review_answer.c
    given = sa.exists().where(
        answer.item == review_item.c.id,
        answer.person == act.person,
        sa.or_(answer.undone_at.is_(None), answer.act == act.id),
    )
    same_act = sa.exists().where(
        answer.item == review_item.c.id, answer.person == act.person, answer.act == act.id
    )
    query = (
        sa.select(review_item.c.id, given.label("given"))
        .where(
            review_item.c.classifier == classifier,
            review_item.c.cleaned == phrase.cleaned,
            # A random item has its own turn, or those of fixed phrases would be labelled first.
            sa.or_(sa.and_(IS_OPEN, review_item.c.probability.is_(None)), same_act),
        )
        .order_by(sa.literal_column("given").desc(), review_item.c.id)
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return _new_item(connection, phrase, now=now)
    return None if row.given else row.id


def _new_item(connection: Connection, phrase: LoggedPhrase, *, now: datetime) -> int:
    newest = phrase.newest
    item = ReviewItem(
        classifier=newest.classifier,
        phrase=newest.phrase,
        cleaned=newest.cleaned,
        request_id=newest.request_id,
        version=newest.version,
        label=newest.label,
        confidence=newest.probability,
        alternatives=newest.alternatives,
        occurred_at=newest.occurred_at,
        strategy=NEIGHBOUR,
        score=0.0,
        region=newest.region,
        frequency=phrase.answers,
    )
    values = {**asdict(item), "needs": 1, "created_at": now}
    query = sa.insert(review_item).values(values).returning(review_item.c.id)
    return int(connection.execute(query).scalar_one())
