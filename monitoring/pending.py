"""Reads what a watch has to judge: the pending windows, and what they are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import pandas as pd
from sqlalchemy.engine import Connection

from core.contracts import ModelVersion
from monitoring.baseline import JOIN_AT_MOST, Baseline, since_drift
from monitoring.drift_reports import DriftReport, drift_began, read_reports
from monitoring.scoring import WindowScorer, log_rows
from monitoring.windows import Key, Window, read_log, read_window, read_windows, window_size


@dataclass(frozen=True)
class PendingWindows:
    """The windows of a champion that no watch has judged yet.

    `reference` holds the champion's reference rows, `size` the rows of a window, `reports` the
    windows reported before, `rows` one frame per window of `windows`, and `steady` the past windows
    that join the baseline.
    """

    classifier: str
    version: str
    reference: pd.DataFrame
    size: int
    reports: list[DriftReport]
    windows: list[Window]
    rows: list[pd.DataFrame]
    steady: list[pd.DataFrame]

    def completed(self, scorer: WindowScorer) -> PendingWindows:
        """Fill in the champion's own answers where a canary answered instead."""
        return replace(
            self,
            rows=[scorer.completed(rows) for rows in self.rows],
            steady=[scorer.completed(rows) for rows in self.steady],
        )

    def baseline(self, scorer: WindowScorer, *, seed: int) -> Baseline:
        """Return what is normal for the champion: its reference and its past steady windows."""
        baseline = Baseline(self.reference, scorer, seed=seed)
        for rows in self.steady:
            baseline.join(rows)
        return baseline


def read_pending(
    connection: Connection,
    champion: ModelVersion,
    reference: pd.DataFrame,
    *,
    window_rows: int,
    until: datetime,
) -> PendingWindows:
    """Read every complete window up to `until` that was not reported yet."""
    classifier = champion.classifier
    version = champion.version
    drift_start = drift_began(connection, classifier=classifier, before=version)
    reference = since_drift(reference, drift_start)
    size = window_size(reference["weight"].sum(), window_rows=window_rows)

    reports = read_reports(connection, classifier=classifier, version=version)
    after = reports[-1].last if reports else None
    windows = read_windows(
        connection,
        classifier=classifier,
        version=version,
        size=size,
        reported=reports[-1].window_number if reports else 0,
        after=after,
        until=until,
    )
    return PendingWindows(
        classifier,
        version,
        reference,
        size,
        reports,
        windows,
        rows=_read_rows(connection, champion, windows, after) if windows else [],
        steady=_read_steady(connection, champion, reports) if windows else [],
    )


def _read_rows(
    connection: Connection, champion: ModelVersion, windows: Sequence[Window], after: Key | None
) -> list[pd.DataFrame]:
    """Return the rows of each window, read by one query."""
    log = read_log(
        connection,
        classifier=champion.classifier,
        version=champion.version,
        after=after,
        rows=max(window.first + window.rows for window in windows),
    )
    rows = log_rows(log)
    return [
        rows.iloc[window.first : window.first + window.rows].reset_index(drop=True)
        for window in windows
    ]


def _read_steady(
    connection: Connection, champion: ModelVersion, reports: Sequence[DriftReport]
) -> list[pd.DataFrame]:
    """Return the newest windows without an alarm that the log still holds completely.

    The log keeps rows that people corrected longer than the rest of their window.
    """
    steady = [report for report in reports if not report.alarms][-JOIN_AT_MOST:]
    windows = [
        read_window(
            connection,
            classifier=champion.classifier,
            version=champion.version,
            start=report.window_start,
            last=report.last,
            rows=report.rows,
        )
        for report in steady
    ]
    return [
        log_rows(rows)
        for rows, report in zip(windows, steady, strict=True)
        if len(rows) == report.rows
    ]
