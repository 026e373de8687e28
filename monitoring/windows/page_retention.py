"""Removes the pages of old calm windows: alarms and the newest windows keep theirs."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.tables.loop import drift_report
from monitoring.windows.evidently_report import remove_report, report_name

KEPT = 60
"""The newest windows: at a window per week, those of a year."""
LOOKED_AT = 200
"""Windows behind them that one watch looks at; a watch reports far fewer."""
SUFFIXES = (".html", ".json", ".png")


def remove_old_pages(connection: Connection, classifier: str, *, reports: Path) -> int:
    """Remove the files of calm windows behind the newest KEPT; return the number of pages.

    The rows of `drift_report` stay. Files outside the folder `reports` are left alone.
    """
    table = drift_report.c
    behind = connection.execute(
        sa.select(table.version, table.window_number, table.alarms, table.report)
        .where(table.classifier == classifier)
        .order_by(table.id.desc())
        .offset(KEPT)
        .limit(LOOKED_AT)
    )

    removed = 0
    for row in behind:
        page = Path(row.report)
        if row.alarms or not page.is_relative_to(reports) or not page.is_file():
            continue
        for suffix in SUFFIXES:
            page.with_suffix(suffix).unlink(missing_ok=True)
        name = report_name(classifier, row.version, row.window_number)
        remove_report(classifier, name, workspace=reports / "evidently")
        removed += 1
    return removed
