"""The `drift_report` table: one row per judged window of a classifier, written once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection

from core.locks import AdvisoryLock, hold_until_commit
from core.tables.loop import drift_report
from monitoring.windows.cutting import Window

REPORTS_READ = 60
"""The newest ones: enough for the steady windows of a baseline and for the plot."""


@dataclass(frozen=True)
class DriftReport:
    """The result of one window, as `version` judged it.

    `statistics` maps each name to {"value", "z", "limit"}; it is empty when the window could not be
    judged. Rows of earlier releases lack the limit.
    Windows of earlier releases were numbered per version and have no `first_sequence`.
    `accepted_window` names the accepted traffic that the window is like, None for the champion's
    own past. `evidence` is what a person needs to see; it is not read with the other fields.
    """

    version: str
    window_number: int
    window_start: datetime
    window_end: datetime
    last_request: str | None
    rows: int
    statistics: Mapping[str, Mapping[str, float]]
    alarms: tuple[str, ...]
    verdict: str
    report: str
    first_sequence: int | None = None
    last_sequence: int | None = None
    answers: int | None = None
    accepted_window: int | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def window(self) -> Window | None:
        """The window by arrival, when its report knows it."""
        if self.first_sequence is None or self.last_sequence is None:
            return None
        return Window(
            self.window_number, self.first_sequence, self.last_sequence, self.answers, self.rows
        )


@dataclass(frozen=True)
class Progress:
    """Where the next window begins: behind `sequence`, with a number above `number`."""

    sequence: int = 0
    number: int = 0


def read_reports(connection: Connection, *, classifier: str) -> list[DriftReport]:
    """Return the newest REPORTS_READ reports of a classifier, oldest first."""
    table = drift_report.c
    columns = [table[name] for name in DriftReport.__dataclass_fields__ if name != "evidence"]
    query = (
        sa.select(*columns)
        .where(table.classifier == classifier)
        .order_by(table.id.desc())
        .limit(REPORTS_READ)
    )
    rows = connection.execute(query).mappings().all()
    return [DriftReport(**{**row, "alarms": tuple(row["alarms"])}) for row in reversed(rows)]


def read_progress(connection: Connection, *, classifier: str) -> Progress:
    """Return where the windows of a classifier end, those of earlier releases included."""
    table = drift_report.c
    newest = sa.select(sa.func.max(table.last_sequence), sa.func.max(table.window_number)).where(
        table.classifier == classifier
    )
    sequence, number = connection.execute(newest).one()
    return Progress(sequence or 0, number or 0)


def hold_reports(connection: Connection, classifier: str) -> None:
    """Until the transaction ends, no other watch stores reports of the classifier."""
    hold_until_commit(connection, AdvisoryLock.REPORTS, classifier)


def drift_began(
    reports: Sequence[DriftReport], *, before: str, due: Collection[int] = ()
) -> datetime | None:
    """Return the start of the newest drift that another version than `before` called. Pure.

    A drift starts with the first window of its uninterrupted run of alarms. `due` are the windows
    that asked for labels and got them.
    """
    drifts = [
        index
        for index, report in enumerate(reports)
        if report.version != before and (report.verdict == "drift" or report.window_number in due)
    ]
    return reports[first_alarm(reports, drifts[-1])].window_start if drifts else None


def run_start(
    start: datetime, alarms: Collection[str], earlier: Sequence[tuple[datetime, Collection[str]]]
) -> datetime:
    """Return when the run began that a window with these alarms belongs to. Pure.

    `earlier` are the windows before it, oldest first, each with its start and its alarms. The run
    goes back as long as one of the window's alarms is among theirs: others have another cause.
    """
    for before, others in reversed(earlier):
        if not set(alarms) & set(others):
            break
        start = before
    return start


def earlier_alarms(
    reports: Sequence[DriftReport],
    version: str,
    *,
    harmless: Collection[int],
    newest: Collection[str] = (),
) -> list[tuple[datetime, Collection[str]]]:
    """Return start and alarms of each window as a version judged it, for `run_start`. Pure.

    Windows of other versions, and those whose cause a person called harmless, count without alarms.
    `newest` are the alarms of the newest window where the version judged it again.
    """
    windows: list[tuple[datetime, Collection[str]]] = []
    for report in reports:
        alarms: Collection[str] = report.alarms if report.version == version else ()
        if report is reports[-1]:
            alarms = alarms or newest
        windows.append((report.window_start, () if report.window_number in harmless else alarms))
    return windows


def first_alarm(reports: Sequence[DriftReport], index: int) -> int:
    """Return the index of the first report in the run of alarms that `index` ends. Pure."""
    while index and reports[index - 1].alarms:
        index -= 1
    return index


def store_reports(
    connection: Connection,
    reports: Sequence[DriftReport],
    *,
    classifier: str,
    reported_at: datetime,
) -> int:
    """Insert the reports that are not there yet; return their number."""
    common = {"classifier": classifier, "reported_at": reported_at}
    stored = 0
    for report in reports:
        lists = {"alarms": list(report.alarms), "evidence": dict(report.evidence)}
        values = {**vars(report), **lists, **common}
        stored += connection.execute(
            insert(drift_report).values(values).on_conflict_do_nothing()
        ).rowcount
    return stored
