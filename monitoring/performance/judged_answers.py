"""The answers whose right label is known, and how they were chosen to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.errors import InvalidPeriod
from core.feedback import KINDS, NONE_OF_THESE
from core.tables.answers import ROUTED
from core.tables.loop import asked_by_clients, feedback, inference
from core.tables.pins import repeats_a_pin
from monitoring.labels.unselected import choose_unselected
from monitoring.performance.answer_counts import COUNTED_ROLES

READ = 100_000
"""Labels that one report reads: about two seconds."""
NEWEST = 2_000
"""Labels of a classifier that say how good its newest answers are: found within 0.1 s."""
EARLY = timedelta(days=1)
"""A clock may date a label this long before its answer."""


class JudgedAnswer(NamedTuple):
    """An answer, and its right label by the newest feedback.

    `right` is None when no label is. `drawn` is how likely the answer was to be sampled, in
    (0, 1], None for one that was not drawn at random. `unselected`: somebody labelled it who does
    not look at wrong answers only. `abstained`: the version refused the phrase.
    """

    occurred_at: datetime
    version: str
    shadow: bool
    region: str
    answered: str
    probability: float
    abstained: bool
    right: str | None
    drawn: float | None
    unselected: bool

    @property
    def agrees(self) -> bool:
        return self.right == self.answered


def read_judged(
    connection: Connection,
    classifier: str,
    *,
    since: datetime | None,
    until: datetime | None,
    counted: int,
) -> list[JudgedAnswer]:
    """Read the judged answers of [since, until), shadows included, without those of load tests.

    `counted`: only answers with a sequence number of at most this, as the counts hold no others.
    Raises `InvalidPeriod` when the period has more than READ labels.
    """
    within = [inference.c.sequence <= counted]
    if until is not None:
        within.append(inference.c.occurred_at < until)
    query = _joined(classifier, since, *within)
    rows = connection.execute(query.limit(READ + 1)).all()
    if len(rows) > READ:
        raise InvalidPeriod(
            f"a period with at most {READ:,} labels",
            came="one with more",
            do="choose a shorter one by `from` and `to`",
        )
    return judge_answers(rows[::-1])


def newest_judged(
    connection: Connection, classifier: str, *, version: str, since: datetime
) -> list[JudgedAnswer]:
    """Read what a version answered clients since a moment, by the newest NEWEST labels."""
    of_version = (inference.c.version == version, inference.c.role.in_(ROUTED))
    newest = (
        sa.select(feedback.c.id)
        .where(feedback.c.classifier == classifier)
        .order_by(feedback.c.received_at.desc(), feedback.c.id.desc())
        .limit(NEWEST)
    )
    query = _joined(classifier, since, *of_version).where(feedback.c.id.in_(newest))
    rows = connection.execute(query).all()
    return judge_answers(rows[::-1])


def judge_answers(rows: Sequence[sa.Row[Any]]) -> list[JudgedAnswer]:
    """Make one judged answer of all feedback on it; `rows` of `_joined` are in order of receipt.

    A sampled answer stays one when somebody corrects it later: leaving it out would leave out
    wrong answers. An answer that was not drawn and has no right label is left out.
    """
    unselected = choose_unselected(
        (row.request_id, row.kind, row.author, row.right == row.answered)
        for row in rows
        if not row.shadow
    )
    drawn_with: dict[tuple[str, str, bool], float] = {}
    newest: dict[tuple[str, str, bool], JudgedAnswer] = {}
    for request_id, _, _, right, drawn, *answer in rows:
        _, version, shadow, *_ = answer
        key = (request_id, version, shadow)
        if drawn is not None:
            drawn_with.setdefault(key, drawn)
        is_unselected = request_id in unselected
        newest[key] = JudgedAnswer._make((*answer, right, drawn_with.get(key), is_unselected))
    return [row for row in newest.values() if row.right is not None or row.drawn is not None]


def _joined(
    classifier: str, since: datetime | None, *conditions: sa.ColumnElement[bool]
) -> sa.Select[tuple[Any, ...]]:
    """Select feedback with its answers that meet the conditions, newest first.

    Kinds of feedback that this release does not know are left out. `since` keeps both reads to
    indexes. The answer is the version's own, whatever a pin told the client; a label that only
    repeats the pin is left out.
    """
    answer = _answers(classifier, since, *conditions)
    query = (
        sa.select(
            feedback.c.request_id,
            feedback.c.kind,
            feedback.c.author,
            sa.case((feedback.c.kind != NONE_OF_THESE, feedback.c.label)).label("right"),
            feedback.c.probability.label("drawn"),
            *answer.c,
        )
        .join(answer, sa.true())
        .where(
            feedback.c.classifier == classifier,
            feedback.c.kind.in_((*KINDS, NONE_OF_THESE)),
            ~repeats_a_pin(feedback),
        )
        .order_by(feedback.c.received_at.desc(), feedback.c.id.desc())
    )
    return query if since is None else query.where(feedback.c.received_at >= since - EARLY)


def _answers(
    classifier: str, since: datetime | None, *conditions: sa.ColumnElement[bool]
) -> sa.FromClause:
    """Select the answers of a row of feedback.

    The offset has PostgreSQL look each of them up: it would read whole months of the log instead.
    """
    answer = (
        sa.select(
            inference.c.occurred_at,
            inference.c.version,
            (inference.c.role == "shadow").label("shadow"),
            sa.func.coalesce(inference.c.region, "").label("region"),
            inference.c.label.label("answered"),
            inference.c.probability,
            sa.func.coalesce(inference.c.abstained, sa.false()).label("abstained"),
        )
        .where(
            inference.c.request_id == feedback.c.request_id,
            inference.c.classifier == classifier,
            inference.c.role.in_(COUNTED_ROLES),
            asked_by_clients(),
            *conditions,
        )
        .offset(0)
    )
    if since is not None:
        answer = answer.where(inference.c.occurred_at >= since)
    return answer.lateral()
