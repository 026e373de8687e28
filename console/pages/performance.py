"""How good the answers of a classifier were, over time and by version, region and label."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from console.access.people import Viewer
from console.api.performance import From, To
from console.rendering import render
from console.state import Classifier, State
from monitoring.answer_counts import count_some_answers
from monitoring.performance_report import (
    LABELS_SHOWN,
    NOTE,
    SECTIONS,
    cells,
    columns_of,
    describe,
    read_report,
)
from monitoring.periods import read_period

router = APIRouter()


@router.get("/c/{classifier}/performance")
def performance(
    request: Request,
    classifier: Classifier,
    state: State,
    person: Viewer,
    since: From = "",
    until: To = "",
) -> HTMLResponse:
    """Show one sentence, a picture over time, and a table per section."""
    now = state.clock()
    period = read_period(since, until, today=now.date())
    engine = state.context.engine
    counted = count_some_answers(engine, classifier, now=now)
    report = read_report(engine, classifier, period, counted)
    sections = [
        {
            "name": name,
            "columns": columns_of(name),
            "rows": [cells(row, name) for row in report.sections[name][:LABELS_SHOWN]],
            "left_out": max(0, len(report.sections[name]) - LABELS_SHOWN),
        }
        for name in SECTIONS
    ]
    return render(
        request,
        "performance.html",
        classifier=classifier,
        report=report,
        sentence=describe(report),
        note=NOTE,
        sections=sections,
    )
