"""Traffic that became normal beside the champion's own past: expected, or answered well enough.

A person expects it, or the gate kept the champion after a drift: a fit that had seen the drifted
rows was no better. Such traffic is a second normal, with windows of its own. Mixed into one pool,
both would widen what is normal and hide other changes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.tables.loop import decision, drift_report
from monitoring.drift.calling import ACCEPTED, Called, grown
from monitoring.drift.reviews import EXPECTED, Review, reviewed_as
from monitoring.retraining import NO_VERDICT
from monitoring.windows.reports import DriftReport


@dataclass(frozen=True)
class Acceptance:
    """Why a window became normal; `expected` when a person said so: its traffic may come back."""

    why: str
    expected: bool


@dataclass
class AcceptedTraffic:
    """The reported windows of one accepted kind of traffic, oldest first.

    `window` is the first one that was accepted, and its name. `anchor` is the newest one that was
    accepted itself: later windows are like it while none of its statistics has grown by half.
    `expected` when a person accepted one of its windows.
    """

    window: int
    why: str
    anchor: DriftReport
    expected: bool
    reports: list[DriftReport] = field(default_factory=list)

    def holds(self, report: DriftReport) -> bool:
        """Return whether an alarmed window is like the anchor."""
        called = Called(ACCEPTED, self.anchor.window_number, _z(self.anchor))
        return not grown(called, alarms=report.alarms, z=_z(report))


def accepted_windows(
    connection: Connection, classifier: str, reviews: Mapping[int, Review]
) -> dict[int, Acceptance]:
    """Return window number -> its acceptance. What a person says outranks the gate."""
    kept = {
        number: Acceptance(f"the gate kept the champion after the drift of window {number}", False)
        for number in _kept_windows(connection, classifier)
        if number not in reviews
    }
    expected = {
        number: Acceptance(reviews[number].sentence, True)
        for number in reviewed_as(reviews, EXPECTED)
    }
    return kept | expected


def _kept_windows(connection: Connection, classifier: str) -> set[int]:
    """Return the windows whose drift the gate answered first with "keep"."""
    report = drift_report.c
    called = sa.select(report.window_number, report.reported_at.label("called_at")).where(
        report.classifier == classifier,
        report.verdict == "drift",
        report.first_sequence.is_not(None),
    )
    due = decision.c.evidence["due"]["window"].astext
    due_later = sa.select(sa.cast(due, sa.Integer), decision.c.decided_at).where(
        decision.c.classifier == classifier,
        decision.c.subject == "drift",
        decision.c.kind == "drift",
        due.is_not(None),
    )
    calls = sa.union_all(called, due_later).subquery()
    gate = decision.alias()
    answer = (
        sa.select(gate.c.kind)
        .where(
            gate.c.classifier == classifier,
            gate.c.subject == "gate",
            gate.c.kind != NO_VERDICT,
            gate.c.decided_at >= calls.c.called_at,
        )
        .order_by(gate.c.decided_at, gate.c.id)
        .limit(1)
        .scalar_subquery()
    )
    return set(connection.scalars(sa.select(calls.c.window_number).where(answer == "keep")))


def accepted_traffic(
    reports: Sequence[DriftReport],
    accepted: Mapping[int, Acceptance],
    *,
    others: Collection[int] = (),
) -> list[AcceptedTraffic]:
    """Group the windows of accepted traffic, in the order in which it was first seen. Pure.

    To an accepted window belong the windows of its run of alarms that had not grown, whether
    accepted or not, and those that a watch found like it. A window that is accepted later joins the
    traffic that it is like: what comes and goes gets a past of its own. `others` were reviewed
    otherwise.
    """
    groups: list[AcceptedTraffic] = []
    by_member: dict[int, AcceptedTraffic] = {}
    current: AcceptedTraffic | None = None

    for report in reports:
        number = report.window_number
        acceptance = accepted.get(number)
        if not report.alarms:
            current = None
            group = by_member.get(report.accepted_window or 0)
        elif acceptance is not None:
            if current is None or not current.holds(report):
                current = next((earlier for earlier in groups if earlier.holds(report)), None)
            if current is None:
                current = AcceptedTraffic(number, acceptance.why, report, expected=False)
                groups.append(current)
            current.anchor = report
            group = current
        else:
            current = current if current is not None and current.holds(report) else None
            group = None if number in others else current

        if group is not None:
            group.expected = group.expected or (acceptance is not None and acceptance.expected)
            group.reports.append(report)
            by_member[number] = group
    return groups


def calmed(reports: Sequence[DriftReport], groups: Sequence[AcceptedTraffic]) -> list[DriftReport]:
    """Return the reports with those of accepted traffic as steady ones, of that traffic. Pure."""
    member = {report.window_number: group.window for group in groups for report in group.reports}
    return [
        replace(
            report,
            alarms=(),
            verdict="steady",
            accepted_window=member[report.window_number],
        )
        if report.window_number in member
        else report
        for report in reports
    ]


def _z(report: DriftReport) -> dict[str, float]:
    return {name: entry["z"] for name, entry in report.statistics.items()}
