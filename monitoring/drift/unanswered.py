"""A drift that no gate has answered yet: its call was lost, it waited, or its retraining failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.contracts import Verdict
from core.english import counted
from core.tables.loop import decision
from monitoring.drift.reviewed import closed_by_people
from monitoring.drift.reviews import REAL, calling_window, newest_reviews
from monitoring.outcomes import BEGINS
from monitoring.retraining import DRIFT, NO_VERDICT, decide_retraining, drift_start
from pipelines.gate.drifted import UnlearntDrift

CALLS_READ = 20
"""Of the newest calls without an answer; people close some of them."""
FIRST_PAUSE = timedelta(minutes=45)
"""After a retraining that gave no verdict: what made it fail often lasts, such as broken data."""
DOUBLED_AT_MOST = 5
"""Times: from the sixth on, pauses are a day long."""


@dataclass(frozen=True)
class OpenDrift:
    """A drift that no gate has answered; `judged_at` is the newest gate's moment before it.

    `tries` are the retrainings begun since the call, the last one at `tried_at`.
    """

    called_at: datetime
    judged_at: datetime | None
    reasons: tuple[str, ...]
    evidence: dict[str, Any]
    tries: int = 0
    tried_at: datetime | None = None

    def due(self, *, now: datetime, cool_down_days: float) -> Verdict:
        """Return whether its retraining is granted now: "retrain" or "wait".

        After each retraining without a verdict the pause is twice as long as before.
        """
        granted = decide_retraining(
            DRIFT, last_retraining_at=self.judged_at, now=now, cool_down_days=cool_down_days
        )
        if granted.kind == "wait" or self.tried_at is None:
            return granted
        doubled = min(self.tries - 1, DOUBLED_AT_MOST)
        due = self.tried_at + FIRST_PAUSE * 2**doubled
        if now >= due:
            return granted
        why = (
            f"{counted(self.tries, 'retraining')} since then gave no verdict; "
            f"the next one is due at {due:%Y-%m-%d %H:%M}"
        )
        return Verdict("wait", (why,), granted.evidence)


def open_drift(connection: Connection, classifier: str, *, now: datetime) -> OpenDrift | None:
    """Return the newest drift that no gate has answered; None without one.

    A drift is answered when the gate has judged a fit of its moment or later, whatever it said of
    it but "wait": the fit saw the rows since the drift began. It is answered too when a person
    called its window expected, harmless or a fault of the data.
    """
    judged_at = _judged_at(connection, classifier, now=now)
    for called in _calls(connection, classifier, since=judged_at, now=now):
        if not closed_by_people(connection, classifier, DRIFT, called.evidence):
            evidence = dict(called.evidence)
            reasons = tuple(called.reasons)
            tries = _tries(connection, classifier, called.decided_at, now)
            return OpenDrift(called.decided_at, judged_at, reasons, evidence, *tries)
    return None


def drift_to_learn(
    connection: Connection, classifier: str, *, since: datetime, now: datetime
) -> UnlearntDrift | None:
    """Return the newest drift that was called since the champion's fit; None without one.

    It counts also when a gate has answered it: labels come late, and a later candidate may have
    learnt it. Drifts that people called expected, harmless or a fault do not count, nor do those of
    earlier releases that have no beginning.
    """
    judged_at = _judged_at(connection, classifier, now=now)
    reviews = newest_reviews(connection, classifier)
    for called in _calls(connection, classifier, since=since, now=now):
        window = calling_window(DRIFT, called.evidence)
        review = None if window is None else reviews.get(window)
        began = drift_start(called.evidence)
        if began is not None and (review is None or review.verdict == REAL):
            return UnlearntDrift(began, judged_at is None or judged_at < called.decided_at)
    return None


def _judged_at(connection: Connection, classifier: str, *, now: datetime) -> datetime | None:
    """Return the moment of the newest verdict of a gate."""
    table = decision.c
    query = sa.select(sa.func.max(table.decided_at)).where(
        table.classifier == classifier,
        table.decided_at <= now,
        table.subject == "gate",
        table.kind != NO_VERDICT,
    )
    moment: datetime | None = connection.scalar(query)
    return moment


def _calls(
    connection: Connection, classifier: str, *, since: datetime | None, now: datetime
) -> Sequence[sa.Row[Any]]:
    """Return the newest calls of drift, newest first."""
    table = decision.c
    query = sa.select(table.decided_at, table.reasons, table.evidence).where(
        table.classifier == classifier,
        table.decided_at <= now,
        table.subject == "drift",
        table.kind == "drift",
        sa.true() if since is None else table.decided_at > since,
    )
    return connection.execute(query.order_by(table.id.desc()).limit(CALLS_READ)).all()


def _tries(
    connection: Connection, classifier: str, called_at: datetime, now: datetime
) -> tuple[int, datetime | None]:
    """Return how many retrainings began since a call, and when the last one did."""
    begun = sa.select(sa.func.count(), sa.func.max(decision.c.decided_at)).where(
        decision.c.classifier == classifier,
        decision.c.subject == "retraining",
        decision.c.kind == BEGINS,
        decision.c.decided_at >= called_at,
        decision.c.decided_at <= now,
    )
    number, last = connection.execute(begun).one()
    return number, last


def unanswered_drift(
    connection: Connection, *, classifier: str, now: datetime, cool_down_days: float
) -> Verdict | None:
    """Return the open drift whose retraining is due; None without one.

    Until a gate answers it, watches call for it again.
    """
    drift = open_drift(connection, classifier, now=now)
    if drift is None or drift.due(now=now, cool_down_days=cool_down_days).kind == "wait":
        return None
    again = f"the drift called at {drift.called_at:%Y-%m-%d %H:%M} has no answer yet"
    return Verdict("drift", (again, *drift.reasons), drift.evidence)


def with_unanswered(verdict: Verdict, unanswered: Verdict | None) -> Verdict:
    """Return what the watch says: the drift that waits for an answer, unless it calls one itself.

    Reasons and a broken client of the windows that were judged now are reported with it.
    """
    if unanswered is None or verdict.kind == "drift":
        return verdict
    reasons = (*unanswered.reasons, *verdict.reasons)
    client = {"broken_client": verdict.evidence.get("broken_client")}
    return replace(unanswered, reasons=reasons, evidence={**unanswered.evidence, **client})
