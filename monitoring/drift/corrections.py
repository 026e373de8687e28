"""Corrections that come more often than before: they ask for a sample of labels, and call nothing.

People correct what they notice. More corrections may mean worse answers, or more attention. Of
more traffic more corrections come, and of a new classifier's first weeks none came before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from scipy.stats import binomtest
from sqlalchemy.engine import Connection

from core.feedback import is_label
from core.tables.answers import answer_count
from core.tables.loop import feedback
from core.tables.pins import says_more_than_the_pin
from monitoring.drift.faults import is_faulty
from monitoring.labels.feedback import answered
from monitoring.labels.unselected import DAYS_READ, unselected_requests

DAYS = 28
"""Two periods of so many days are compared."""
GROWN = 2.0
CHANCE = 1e-4
"""Of so many more corrections by chance; a year has some 13 periods for each classifier."""


@dataclass(frozen=True)
class Corrections:
    """Contradicting labels of the newest DAYS and of the DAYS before, one per act.

    `traffic` is how many times as many answers were given; 0 or infinite where one of both has
    none.
    """

    now: int
    before: int
    traffic: float = 1.0

    @property
    def grown(self) -> bool:
        """True when there are at least GROWN times as many per answer, beyond chance."""
        if self.traffic == 0 or math.isinf(self.traffic):
            return False
        if not self.now or self.now < GROWN * self.traffic * self.before:
            return False
        share = self.traffic / (1 + self.traffic)
        chance = binomtest(self.now, self.now + self.before, share, alternative="greater").pvalue
        return bool(chance < CHANCE)

    def sentence(self) -> str:
        return (
            f"{self.now} corrections came in {DAYS} days, {self.before} in the {DAYS} days before, "
            f"for {self.traffic:.1f} times as many answers: label a random sample of answers (kind "
            "sample) to tell whether they are worse"
        )


def count_corrections(connection: Connection, classifier: str, *, now: datetime) -> Corrections:
    """Count the selected labels that contradict: an author on a phrase counts once a day."""
    start = now - timedelta(days=2 * DAYS)
    middle = now - timedelta(days=DAYS)
    received = (
        feedback.c.classifier == classifier,
        is_label(),
        feedback.c.received_at > start,
        feedback.c.received_at <= now,
    )
    answer = answered(sa.select(feedback.c.request_id).where(*received))
    label = sa.func.btrim(feedback.c.label)
    query = (
        sa.select(
            feedback.c.request_id, answer.c.cleaned, feedback.c.author, feedback.c.received_at
        )
        .join(answer, answer.c.request_id == feedback.c.request_id)
        .where(
            *received,
            label != answer.c.label,
            says_more_than_the_pin(answer, label),
            ~is_faulty(answer, as_of=now),
        )
    )
    chosen = unselected_requests(connection, classifier, since=now - timedelta(days=DAYS_READ))
    acts = {
        (row.cleaned, row.author, row.received_at.date()): row.received_at > middle
        for row in connection.execute(query)
        if row.request_id not in chosen
    }
    recent = sum(acts.values())
    traffic = _traffic(connection, classifier, start, middle)
    return Corrections(recent, len(acts) - recent, traffic)


def _traffic(connection: Connection, classifier: str, start: datetime, middle: datetime) -> float:
    """Return how many times as many answers came after `middle` as before; inf for none before."""
    day = answer_count.c.day
    answers = answer_count.c.answers
    query = sa.select(
        sa.func.coalesce(sa.func.sum(answers).filter(day > middle.date()), 0),
        sa.func.coalesce(sa.func.sum(answers).filter(day <= middle.date()), 0),
    ).where(
        answer_count.c.classifier == classifier,
        ~answer_count.c.shadow,
        day > start.date(),
    )
    recent, before = connection.execute(query).one()
    return float(recent / before) if before else math.inf
