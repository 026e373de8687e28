"""How good the answers of a classifier were, over time and by version, region and label."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from console.access.people import Viewer
from console.api.performance import From, To
from console.rendering import render
from console.state import Classifier, State
from monitoring.performance.answer_counts import count_some_answers, newest_day
from monitoring.performance.figures import Dimension
from monitoring.performance.periods import read_period
from monitoring.performance.promises import describe_promise
from monitoring.performance.report import (
    LABELS_SHOWN,
    NOTE,
    SECTIONS,
    Report,
    cells,
    columns_of,
    describe,
    read_report,
)

router = APIRouter()
COUNTS = ("answers", "none of these", "estimate", "corrections")
"""Columns of plain numbers, which stand to the right."""


@router.get("/c/{classifier}/performance")
def performance(
    request: Request,
    classifier: Classifier,
    state: State,
    person: Viewer,
    since: From = "",
    until: To = "",
) -> HTMLResponse:
    """Show one sentence, a picture over time, and a table per section, up to the newest answer."""
    now = state.clock()
    engine = state.context.engine
    counted = count_some_answers(engine, classifier, now=now)
    with state.reading() as connection:
        newest = newest_day(connection, classifier)
    period = read_period(since, until, today=min(newest or now.date(), now.date()))
    report = read_report(engine, classifier, period, counted)
    return render(
        request,
        "performance.html",
        classifier=classifier,
        report=report,
        sentence=describe(report),
        promise=describe_promise(report.promise),
        note=NOTE,
        sections=[_section(report, name) for name in SECTIONS],
    )


def _section(report: Report, name: Dimension) -> dict[str, Any]:
    """Return a table, without the columns that are empty in every row."""
    all_rows = report.sections[name]
    rows = [cells(row, name) for row in all_rows[:LABELS_SHOWN]]
    columns = columns_of(name)
    filled = [
        place for place, _ in enumerate(columns) if not rows or any(row[place] for row in rows)
    ]
    return {
        "name": name,
        "columns": [(columns[place], columns[place] in COUNTS) for place in filled],
        "rows": [[(row[place], columns[place] in COUNTS) for place in filled] for row in rows],
        "left_out": len(all_rows) - len(rows),
    }
