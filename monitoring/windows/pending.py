"""Reads what a watch has to judge: the pending windows, and what they are compared with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

import pandas as pd
from sqlalchemy.engine import Connection

from core.contracts import ModelVersion
from core.params.drift import DriftParams
from monitoring.drift.label_requests import due_windows
from monitoring.drift.reviewed import ReviewedReports, read_reviewed
from monitoring.windows.baseline import JOIN_AT_MOST, Baseline, joined_rows, since_drift
from monitoring.windows.cutting import Limits, Window, window_size
from monitoring.windows.damaged import is_mojibake
from monitoring.windows.learnt import learnt_requests, trained_as_of
from monitoring.windows.nearest_baseline import Baselines, TrafficBaseline
from monitoring.windows.reports import DriftReport, Progress, drift_began, read_progress
from monitoring.windows.scoring import WindowScorer, log_rows
from monitoring.windows.traffic import Traffic
from monitoring.windows.turned import TurnedPhrases


@dataclass(frozen=True)
class PendingWindows:
    """The windows of a classifier that no watch has judged yet, for its champion to judge.

    Attributes
    ----------
    reference : the champion's reference rows
    size : rows of a window
    number : the newest number of a reported window
    reports : the newest windows reported before, without faults of the data; those of accepted
        traffic are steady
    rows : one frame per window of `windows`; its column `learnt` is True for the answers whose
        right label the champion has learnt since, and `mojibake` for phrases in a wrong encoding
    steady : past windows that join the baseline
    before : the newest reported window, when the champion has to judge it again
    accepted : traffic that is normal beside the champion's past
    harmless : the windows whose cause a person called harmless
    """

    classifier: str
    version: str
    reference: pd.DataFrame
    size: int
    number: int
    reports: list[DriftReport]
    windows: list[Window]
    rows: list[pd.DataFrame]
    steady: list[pd.DataFrame]
    before: pd.DataFrame | None = None
    accepted: list[AcceptedRows] = field(default_factory=list)
    harmless: frozenset[int] = frozenset()

    def completed(self, scorer: WindowScorer, turned: TurnedPhrases) -> PendingWindows:
        """Fill in the champion's own answers where another version or memory answered instead."""

        def complete(rows: pd.DataFrame) -> pd.DataFrame:
            return scorer.completed(turned.forget_answers(rows))

        return replace(
            self,
            reference=complete(self.reference),
            rows=[complete(rows) for rows in self.rows],
            steady=[complete(rows) for rows in self.steady],
            before=None if self.before is None else complete(self.before),
            accepted=[
                replace(
                    traffic,
                    rows=[complete(rows) for rows in traffic.rows],
                    anchor=complete(traffic.anchor),
                )
                for traffic in self.accepted
            ],
        )

    def baselines(self, scorer: WindowScorer, *, seed: int) -> Baselines:
        """Return what is normal for the champion: its reference and the past steady windows.

        Reference rows of the days of accepted traffic belong to that.
        """
        own = self.reference
        kinds = []
        for traffic in self.accepted:
            inside = traffic.spans(own)
            baseline = _joined(own[inside], traffic.rows, scorer, seed)
            kinds.append(
                TrafficBaseline(
                    baseline,
                    traffic.window,
                    traffic.why,
                    unlearnt(traffic.anchor),
                    traffic.expected,
                )
            )
            own = own[~inside]
        past = TrafficBaseline(_joined(own, self.steady, scorer, seed))
        newest = self.reports[-1] if self.reports else None
        current = newest.accepted_window if newest and not newest.alarms else None
        known = {kind.window for kind in kinds}
        return Baselines([past, *kinds], current if current in known else None)


def _joined(
    reference: pd.DataFrame, windows: Sequence[pd.DataFrame], scorer: WindowScorer, seed: int
) -> Baseline:
    baseline = Baseline(reference.reset_index(drop=True), scorer, seed=seed)
    for rows in windows:
        baseline.join(rows)
    return baseline


@dataclass(frozen=True)
class AcceptedRows:
    """The rows of accepted traffic: `rows` of its windows, `anchor` of the accepted one.

    `expected` when a person accepted it; `until` is None while the newest window is of this
    traffic.
    """

    window: int
    why: str
    expected: bool
    rows: list[pd.DataFrame]
    anchor: pd.DataFrame
    since: datetime
    until: datetime | None

    def spans(self, reference: pd.DataFrame) -> pd.Series:
        """Return bool (n,): which reference rows are of the days of this traffic."""
        moments = reference["occurred_at"]
        inside = moments >= self.since
        return inside if self.until is None else inside & (moments <= self.until)


def learnt_drift(
    connection: Connection,
    reviewed: ReviewedReports,
    classifier: str,
    *,
    version: str,
    fitted_at: datetime | None,
) -> datetime | None:
    """Return the start of the newest drift that a version learnt: earlier rows are its past."""
    due = due_windows(connection, classifier, by=fitted_at) - reviewed.accepted_numbers
    return drift_began(reviewed.reports, before=version, due=due)


def read_pending(
    connection: Connection,
    champion: ModelVersion,
    reference: pd.DataFrame,
    *,
    drift: DriftParams,
    until: int,
) -> PendingWindows:
    """Read the complete windows up to the sequence number `until` that were not reported yet."""
    classifier = champion.classifier
    version = champion.version
    reviewed = read_reviewed(connection, classifier)
    reports = reviewed.reports

    fitted_at = trained_as_of(connection, classifier=classifier, version=version)
    began = learnt_drift(connection, reviewed, classifier, version=version, fitted_at=fitted_at)
    reference = since_drift(reference, began)

    traffic = Traffic(connection, classifier, version)
    reader = _Reader(traffic, fitted_at, _calm(reviewed, since=began))
    size = _size(reference, reader, drift)
    progress = read_progress(connection, classifier=classifier)
    limits = Limits(size, drift.window_days)
    windows = list(_windows(traffic, progress, until=until, limits=limits))

    return PendingWindows(
        classifier,
        version,
        reference,
        size,
        progress.number,
        reports,
        windows,
        rows=[reader.rows(window) for window in windows],
        steady=reader.steady if windows else [],
        before=reader.before(reports) if windows else None,
        accepted=reader.accepted(reviewed, since=began) if windows else [],
        harmless=reviewed.harmless,
    )


def _size(reference: pd.DataFrame, reader: _Reader, drift: DriftParams) -> int:
    """Return the rows of one window. Calm ones are read for it where the reference is small."""
    own = float(reference["weight"].sum())
    size = window_size(own, window_rows=drift.window_rows)
    if size == drift.window_rows:
        return size
    joined = joined_rows([len(rows) for rows in reader.steady])
    return window_size(own + joined, window_rows=drift.window_rows)


def _calm(reviewed: ReviewedReports, *, since: datetime | None) -> list[DriftReport]:
    """Return the newest windows without an alarm, which join what is normal.

    Of the windows before a drift that the champion has learnt none is normal for it.
    """
    calm = [
        report
        for report in reviewed.reports
        if not report.alarms
        and report.accepted_window is None
        and report.window_number not in reviewed.real
        and (since is None or report.window_start >= since)
    ]
    return calm[-JOIN_AT_MOST:]


def _windows(
    traffic: Traffic, progress: Progress, *, until: int, limits: Limits
) -> Iterator[Window]:
    return traffic.windows(
        after=progress.sequence, until=until, limits=limits, reported=progress.number
    )


@dataclass(frozen=True)
class _Reader:
    """Reads windows as the champion has to see them."""

    traffic: Traffic
    as_of: datetime | None
    calm: Sequence[DriftReport]

    def rows(self, window: Window) -> pd.DataFrame:
        return self._marked(self.traffic.read_window(window))

    @cached_property
    def steady(self) -> list[pd.DataFrame]:
        """The rows of the calm windows that the log still holds completely.

        The log keeps rows that people corrected longer than the rest of their window.
        """
        read = [self._whole(report) for report in self.calm]
        return [unlearnt(rows) for rows in read if rows is not None]

    def accepted(self, reviewed: ReviewedReports, *, since: datetime | None) -> list[AcceptedRows]:
        """Return the accepted traffic since a learnt drift that the log still holds."""
        accepted_rows = []
        for group in reviewed.groups:
            anchor = self._whole(group.anchor)
            if anchor is None or (since is not None and group.anchor.window_start < since):
                continue
            read = [self._whole(report) for report in group.reports[-JOIN_AT_MOST:]]
            newest = reviewed.reports[-1].accepted_window == group.window
            accepted_rows.append(
                AcceptedRows(
                    group.window,
                    group.why,
                    group.expected,
                    [unlearnt(rows) for rows in read if rows is not None],
                    anchor,
                    group.reports[0].window_start,
                    None if newest else group.reports[-1].window_end,
                )
            )
        return accepted_rows

    def before(self, reports: Sequence[DriftReport]) -> pd.DataFrame | None:
        """Return the newest reported window when another version judged it."""
        if not reports or reports[-1].version == self.traffic.version:
            return None
        rows = self._whole(reports[-1])
        return None if rows is None else unlearnt(rows)

    def _whole(self, report: DriftReport) -> pd.DataFrame | None:
        if report.window is None:
            return None
        rows = self.traffic.read_window(report.window)
        return self._marked(rows) if len(rows) == report.rows else None

    def _marked(self, log: pd.DataFrame) -> pd.DataFrame:
        learnt = learnt_requests(
            self.traffic.connection,
            classifier=self.traffic.classifier,
            as_of=self.as_of,
            request_ids=log["request_id"].tolist(),
        )
        return log_rows(log).assign(
            learnt=log["request_id"].isin(learnt),
            mojibake=log["phrase"].map(is_mojibake).astype(bool),
        )


def unlearnt(rows: pd.DataFrame) -> pd.DataFrame:
    """Leave out the answers whose right label the champion has learnt: it is too sure of them."""
    return rows[~rows["learnt"]].reset_index(drop=True)
