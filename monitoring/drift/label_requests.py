"""Labels that a watch asked for: a drift whose answers nobody had labelled retrains once they are.

A request is open until enough labels came, until the windows call again, or until the traffic is
calm again. A drift that labels called says nothing of the phrases that moved: the request stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection, Engine

from core.contracts import Verdict
from core.decisions import record_decision
from core.tables.loop import decision, drift_report
from monitoring.drift.label_evidence import LABEL_TEST
from monitoring.drift.labelled import labelled_by
from monitoring.drift.moved import Labelled, label_requests, labelled_share
from monitoring.drift.reviewed import closed_by_people
from monitoring.retraining import NO_VERDICT
from monitoring.windows.reports import hold_reports

GATES_READ = 3
"""Each watch looks at the newest gates; the one before looked at those before."""


@dataclass(frozen=True)
class OpenRequest:
    """The verdict that asked, the window it asked for, and the phrases that moved."""

    asked_at: datetime
    verdict: Verdict

    @property
    def window(self) -> int:
        windows = self.verdict.evidence["windows"]
        return int(max(row["number"] for row in windows if row["verdict"] == self.verdict.kind))

    @property
    def moved(self) -> pd.DataFrame:
        return pd.DataFrame(self.verdict.evidence["moved_phrases"])


def open_request(connection: Connection, classifier: str) -> OpenRequest | None:
    """Return the request of a classifier that no labels have answered yet."""
    table = decision.c
    newest = connection.execute(
        sa.select(table.decided_at, table.kind, table.reasons, table.evidence)
        .where(
            table.classifier == classifier,
            table.subject == "drift",
            table.kind.in_(("drift", "needs_labels")),
            ~table.evidence.has_key(LABEL_TEST),
        )
        .order_by(table.id.desc())
        .limit(1)
    ).one_or_none()
    if newest is None or newest.kind != "needs_labels" or _calm(connection, classifier):
        return None
    if closed_by_people(connection, classifier, newest.kind, newest.evidence):
        return None
    verdict = Verdict(newest.kind, tuple(newest.reasons), newest.evidence)
    return OpenRequest(newest.decided_at, verdict)


def _calm(connection: Connection, classifier: str) -> bool:
    """Return whether the newest window that was scored has no alarm."""
    table = drift_report.c
    newest = sa.select(table.alarms).where(
        table.classifier == classifier, table.statistics != sa.literal({}, JSONB)
    )
    alarms = connection.scalar(newest.order_by(table.id.desc()).limit(1))
    return alarms is not None and not alarms


def follow_request(
    engine: Engine, classifier: str, *, labelled: Labelled, least_share: float, now: datetime
) -> Verdict | None:
    """Return a "drift" where the labels that were asked for have come, and record it.

    Until then return a "needs_labels", unrecorded, with the phrases that still need labels. None
    without an open request. Where a retraining has learnt the labels already, its drift is recorded
    as of that moment, so that nothing calls for it again; the verdict is then "steady".
    """
    with engine.begin() as connection:
        hold_reports(connection, classifier)
        request = open_request(connection, classifier)
        if request is None:
            return None

        learnt = _learnt_since(connection, classifier, request, least_share, now=now)
        if learnt is not None:
            return learnt

        share = labelled_share(request.moved, labelled)
        verdict = _fallen_due(request, share) if share >= least_share else None
        if verdict is None:
            return _still_open(request, share, least_share, labelled)
        record_decision(connection, verdict, classifier=classifier, subject="drift", decided_at=now)
        return verdict


def _learnt_since(
    connection: Connection,
    classifier: str,
    request: OpenRequest,
    least_share: float,
    *,
    now: datetime,
) -> Verdict | None:
    """Record the drift as of the first gate whose fit knew enough of the labels."""
    table = decision.c
    gates = sa.select(table.decided_at).where(
        table.classifier == classifier,
        table.subject == "gate",
        table.kind != NO_VERDICT,
        table.decided_at.between(request.asked_at, now),
    )
    newest = gates.order_by(table.decided_at.desc()).limit(GATES_READ)
    for moment in sorted(connection.scalars(newest)):
        labelled = labelled_by(connection, classifier, moment=moment)
        share = labelled_share(request.moved, labelled)
        if share >= least_share:
            verdict = _fallen_due(request, share)
            record_decision(
                connection, verdict, classifier=classifier, subject="drift", decided_at=moment
            )
            learnt = f"; the retraining of {moment:%Y-%m-%d %H:%M} learnt them"
            return Verdict("steady", (verdict.reasons[0] + learnt,))
    return None


def _fallen_due(request: OpenRequest, share: float) -> Verdict:
    reason = (
        f"the labels asked for at window {request.window} have come: "
        f"{100 * share:.0f} % of the moved answers have one"
    )
    evidence = {
        name: value
        for name, value in request.verdict.evidence.items()
        if name not in ("moved_phrases", "label_requests")
    }
    due = {"window": request.window, "labelled_share": round(share, 4)}
    return Verdict("drift", (reason,), {**evidence, "due": due})


def _still_open(
    request: OpenRequest, share: float, least_share: float, labelled: Labelled
) -> Verdict:
    missing = (
        f"labels are asked for since {request.asked_at:%Y-%m-%d %H:%M}: {100 * share:.0f} % of the "
        f"moved answers have one, {100 * least_share:.0f} % are needed"
    )
    evidence: Mapping[str, Any] = {"label_requests": label_requests(request.moved, labelled)}
    return Verdict("needs_labels", (missing,), evidence)


def with_request(verdict: Verdict, request: Verdict | None) -> Verdict:
    """Return what the watch says of its windows and of an earlier request for labels."""
    if request is None or verdict.kind in ("drift", "needs_labels"):
        return verdict
    reasons = (*request.reasons, *verdict.reasons)
    if request.kind == "drift":
        return replace(request, reasons=reasons)
    evidence = {**verdict.evidence, **request.evidence}
    return Verdict(verdict.kind, reasons, evidence)


def due_windows(connection: Connection, classifier: str, *, by: datetime | None) -> set[int]:
    """Return the windows whose labels had come by then: a fit of that moment learnt their drift.

    Empty without a known fit.
    """
    if by is None:
        return set()
    window = decision.c.evidence["due"]["window"].astext
    query = sa.select(window).where(
        decision.c.classifier == classifier,
        decision.c.subject == "drift",
        decision.c.kind == "drift",
        decision.c.decided_at <= by,
        window.is_not(None),
    )
    return {int(number) for number in connection.scalars(query)}
