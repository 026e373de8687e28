"""The `drift_report` table: one row for each window of a champion, written once."""

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
    """What was found about one window. `statistics`: name -> {"value", "z"}; empty when the window could not be judged."""

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
        """The key of the window's last row. Reports of earlier releases know the moment only."""
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
    """Return the start of the newest drift that was called under other versions than `before`: of the first of its alarmed windows."""
    table = drift_report.c
    called = sa.select(table.version).where(
        table.classifier == classifier, table.version != before, table.verdict == "drift"
    )
    version = connection.scalar(called.order_by(table.id.desc()).limit(1))
    if version is None:
        return None
    reports = read_reports(connection, classifier=classifier, version=version)
    last = max(place for place, report in enumerate(reports) if report.verdict == "drift")
    calm = max((place for place in range(last) if not reports[place].alarms), default=-1)
    return reports[calm + 1].window_start


def store_reports(
    connection: Connection,
    reports: Sequence[DriftReport],
    *,
    classifier: str,
    version: str,
    reported_at: datetime,
) -> int:
    """Insert what is not there; return how many rows are new: another watch may have been faster."""
    common = {"classifier": classifier, "version": version, "reported_at": reported_at}
    stored = 0
    for report in reports:
        values = {**vars(report), "alarms": list(report.alarms), **common}
        stored += connection.execute(
            insert(drift_report).values(values).on_conflict_do_nothing()
        ).rowcount
    return stored
