"""The answers whose right label is known, and how they were chosen to be looked at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.answer_tables import ROUTED
from core.errors import InvalidPeriod
from core.feedback import KINDS, NONE_OF_THESE
from core.pin_tables import repeats_a_pin
from core.tables import asked_by_clients, feedback, inference
from monitoring.answer_counts import COUNTED_ROLES
from monitoring.unselected import choose_unselected

READ = 100_000
"""Labels that one report reads: about two seconds."""
NEWEST = 2_000
"""Labels of a classifier that say how good its newest answers are: found within 0.1 s."""
EARLY = timedelta(days=1)
"""A clock may date a label this long before its answer."""


@dataclass(frozen=True)
class JudgedAnswer:
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
    right: str | None
    drawn: float | None
    unselected: bool
    abstained: bool = False

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
    query = _joined(classifier, since).where(inference.c.sequence <= counted)
    if until is not None:
        query = query.where(inference.c.occurred_at < until)
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
    query = _joined(classifier, since).where(*of_version, feedback.c.id.in_(newest))
    rows = connection.execute(query).all()
    return judge_answers(rows[::-1])


def judge_answers(rows: Sequence[sa.Row[Any]]) -> list[JudgedAnswer]:
    """Make one judged answer of all feedback on it; `rows` are in order of receipt.

    A sampled answer stays one when somebody corrects it later: leaving it out would leave out
    wrong answers. An answer that was not drawn and has no right label is left out, and so is
    feedback of a kind that this release does not know.
    """
    known = [row for row in rows if row.kind == NONE_OF_THESE or row.kind in KINDS]
    unselected = choose_unselected(
        (row.request_id, row.kind, row.author, _right(row) == row.answered)
        for row in known
        if row.role in ROUTED
    )
    by_answer: dict[tuple[str, str, str], list[sa.Row[Any]]] = {}
    for row in known:
        by_answer.setdefault((row.request_id, row.version, row.role), []).append(row)
    judged = [_judge(labels, unselected) for labels in by_answer.values()]
    return [answer for answer in judged if answer.right is not None or answer.drawn is not None]


def _judge(labels: Sequence[sa.Row[Any]], unselected: Iterable[str]) -> JudgedAnswer:
    newest = labels[-1]
    drawn = [row.drawn for row in labels if row.drawn is not None]
    return JudgedAnswer(
        occurred_at=newest.occurred_at,
        version=newest.version,
        shadow=newest.role == "shadow",
        region=newest.region or "",
        answered=newest.answered,
        probability=newest.probability,
        right=_right(newest),
        drawn=drawn[0] if drawn else None,
        unselected=newest.request_id in unselected,
        abstained=newest.abstained,
    )


def _right(row: sa.Row[Any]) -> str | None:
    return None if row.kind == NONE_OF_THESE else row.right


def _joined(classifier: str, since: datetime | None) -> sa.Select[tuple[Any, ...]]:
    """Select feedback with its answers, newest first; `since` keeps both reads to indexes.

    The answer is the version's own, whatever a pin told the client; a label that only repeats the
    pin is left out.
    """
    query = (
        sa.select(
            feedback.c.request_id,
            feedback.c.kind,
            feedback.c.author,
            feedback.c.label.label("right"),
            feedback.c.probability.label("drawn"),
            inference.c.occurred_at,
            inference.c.version,
            inference.c.role,
            inference.c.region,
            inference.c.label.label("answered"),
            inference.c.probability,
            sa.func.coalesce(inference.c.abstained, sa.false()).label("abstained"),
        )
        .join(inference, inference.c.request_id == feedback.c.request_id)
        .where(
            feedback.c.classifier == classifier,
            inference.c.classifier == classifier,
            inference.c.role.in_(COUNTED_ROLES),
            asked_by_clients(),
            ~repeats_a_pin(feedback),
        )
        .order_by(feedback.c.received_at.desc(), feedback.c.id.desc())
    )
    if since is None:
        return query
    received = feedback.c.received_at >= since - EARLY
    return query.where(inference.c.occurred_at >= since, received)
