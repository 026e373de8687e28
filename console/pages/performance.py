"""How good the answers of a classifier were, over time and by version, region and label."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from console.access.people import Viewer
from console.api.performance import From, To
from console.rendering import render
from console.state import Classifier, State
from monitoring.answer_counts import count_some_answers, newest_day
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
from monitoring.promises import describe_promise

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
    """Show one sentence, a picture over time, and a table per section, up to the newest answer."""
    now = state.clock()
    engine = state.context.engine
    counted = count_some_answers(engine, classifier, now=now)
    with state.reading() as connection:
        newest = newest_day(connection, classifier)
    period = read_period(since, until, today=min(newest or now.date(), now.date()))
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
        promise=describe_promise(report.promise),
        note=NOTE,
        sections=sections,
    )
