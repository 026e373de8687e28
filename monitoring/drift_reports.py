"""The `drift_report` table: one row per window of a champion, written once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection

from core.tables import drift_report


@dataclass(frozen=True)
class DriftReport:
    """The result of one window.

    `statistics` maps each name to {"value", "z"}; it is empty when the window could not be judged.
    """

    window_number: int
    window_start: datetime
    window_end: datetime
    last_request: str | None
    rows: int
    statistics: Mapping[str, Mapping[str, float]]
    alarms: tuple[str, ...]
    verdict: str
    report: str

    @property
    def last(self) -> tuple[datetime, str | None]:
        """The key of the window's last row. Earlier releases stored the moment only."""
        return self.window_end, self.last_request


def read_reports(connection: Connection, *, classifier: str, version: str) -> list[DriftReport]:
    """Return the reports of one version by window number."""
    table = drift_report.c
    columns = [table[name] for name in DriftReport.__dataclass_fields__]
    query = (
        sa.select(*columns)
        .where(table.classifier == classifier, table.version == version)
        .order_by(table.window_number)
    )
    return [
        DriftReport(**{**row, "alarms": tuple(row["alarms"])})
        for row in connection.execute(query).mappings()
    ]


def drift_began(connection: Connection, *, classifier: str, before: str) -> datetime | None:
    """Return the start of the newest drift under another version than `before`.

    A drift starts with the first window of its uninterrupted run of alarms.
    """
    table = drift_report.c
    drifts = sa.select(table.version).where(
        table.classifier == classifier, table.version != before, table.verdict == "drift"
    )
    version = connection.scalar(drifts.order_by(table.id.desc()).limit(1))
    if version is None:
        return None
    reports = read_reports(connection, classifier=classifier, version=version)
    last_drift = max(index for index, report in enumerate(reports) if report.verdict == "drift")
    steady = [index for index in range(last_drift) if not reports[index].alarms]
    return reports[max(steady, default=-1) + 1].window_start


def store_reports(
    connection: Connection,
    reports: Sequence[DriftReport],
    *,
    classifier: str,
    version: str,
    reported_at: datetime,
) -> int:
    """Insert the reports that are not there yet; return their number.

    Another watch may have inserted them at the same time.
    """
    common = {"classifier": classifier, "version": version, "reported_at": reported_at}
    stored = 0
    for report in reports:
        values = {**vars(report), "alarms": list(report.alarms), **common}
        stored += connection.execute(
            insert(drift_report).values(values).on_conflict_do_nothing()
        ).rowcount
    return stored
