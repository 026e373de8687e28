"""Reads what a watch has to judge: the pending windows, and what they are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import pandas as pd
from sqlalchemy.engine import Connection

from core.contracts import ModelVersion
from core.params import DriftParams
from monitoring.baseline import JOIN_AT_MOST, Baseline, since_drift
from monitoring.damaged import is_mojibake
from monitoring.drift_reports import DriftReport, drift_began, read_progress, read_reports
from monitoring.label_requests import due_windows
from monitoring.learnt import learnt_requests, trained_as_of
from monitoring.scoring import WindowScorer, log_rows
from monitoring.traffic import Traffic
from monitoring.windows import Limits, Window, window_size


@dataclass(frozen=True)
class PendingWindows:
    """The windows of a classifier that no watch has judged yet, for its champion to judge.

    Attributes
    ----------
    reference : the champion's reference rows
    size : rows of a window
    number : the newest number of a reported window
    reports : the newest windows reported before
    rows : one frame per window of `windows`; its column `learnt` is True for the answers whose
        right label the champion has learnt since, and `mojibake` for phrases in a wrong encoding
    steady : past windows that join the baseline
    before : the newest reported window, when the champion has to judge it again
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

    def completed(self, scorer: WindowScorer) -> PendingWindows:
        """Fill in the champion's own answers where another version answered instead."""
        return replace(
            self,
            rows=[scorer.completed(rows) for rows in self.rows],
            steady=[scorer.completed(rows) for rows in self.steady],
            before=None if self.before is None else scorer.completed(self.before),
        )

    def baseline(self, scorer: WindowScorer, *, seed: int) -> Baseline:
        """Return what is normal for the champion: its reference and the past steady windows."""
        baseline = Baseline(self.reference, scorer, seed=seed)
        for rows in self.steady:
            baseline.join(rows)
        return baseline


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
    reports = read_reports(connection, classifier=classifier)
    fitted_at = trained_as_of(connection, classifier=classifier, version=version)
    due = due_windows(connection, classifier, by=fitted_at)
    began = drift_began(reports, before=version, due=due)
    reference = since_drift(reference, began)
    size = window_size(reference["weight"].sum(), window_rows=drift.window_rows)

    traffic = Traffic(connection, classifier, version)
    progress = read_progress(connection, classifier=classifier)
    limits = Limits(size, drift.window_days)
    windows = list(
        traffic.windows(
            after=progress.sequence, until=until, limits=limits, reported=progress.number
        )
    )
    reader = _Reader(traffic, fitted_at)
    return PendingWindows(
        classifier,
        version,
        reference,
        size,
        progress.number,
        reports,
        windows,
        rows=[reader.rows(window) for window in windows],
        steady=reader.steady(reports, since=began) if windows else [],
        before=reader.before(reports) if windows else None,
    )


@dataclass(frozen=True)
class _Reader:
    """Reads windows as the champion has to see them."""

    traffic: Traffic
    as_of: datetime | None

    def rows(self, window: Window) -> pd.DataFrame:
        return self._marked(self.traffic.read_window(window))

    def steady(
        self, reports: Sequence[DriftReport], *, since: datetime | None
    ) -> list[pd.DataFrame]:
        """Return the newest windows without an alarm that the log still holds completely.

        Of the windows before a drift that the champion has learnt none is normal for it. The log
        keeps rows that people corrected longer than the rest of their window.
        """
        calm = [
            report
            for report in reports
            if not report.alarms and (since is None or report.window_start >= since)
        ]
        read = [self._whole(report) for report in calm[-JOIN_AT_MOST:]]
        return [unlearnt(rows) for rows in read if rows is not None]

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
