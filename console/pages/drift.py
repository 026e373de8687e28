"""Drift: windows along time; one window, its report, and what people say of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Form, HTTPException, Path, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from console.access.changes import record_change
from console.access.people import Reviewer, Viewer
from console.drift_chart import draw_chart
from console.prefect import start_retraining
from console.rendering import render
from console.state import Classifier, ConsoleState, State
from core.contracts import Verdict
from monitoring.drift.history import seen_windows, stored_report, window_reviews
from monitoring.drift.label_requests import open_request
from monitoring.drift.payloads import drift_payload
from monitoring.drift.reviewing import RETRAIN, find_window, first_call, review_window
from monitoring.drift.reviews import ANSWERS, Review, alarm_precision
from monitoring.drift.unanswered import open_drift
from monitoring.windows.reports import DriftReport, hold_reports

router = APIRouter(prefix="/c/{classifier}/drift")
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
Outcome = Literal["", "saved", "started", "away"]
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; img-src data:; font-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'self'"
)
"""Evidently's page has scripts of its own: it gets no origin, no cookies and no network."""


@router.get("")
def drift(request: Request, classifier: Classifier, state: State, person: Viewer) -> HTMLResponse:
    """Show the windows along time, and how often people called an alarm real."""
    with state.reading() as connection:
        windows = seen_windows(connection, classifier)
        called = open_drift(connection, classifier, now=state.clock())
        wanted = open_request(connection, classifier)
        precision = alarm_precision(connection, classifier)
    return render(
        request,
        "drift.html",
        classifier=classifier,
        windows=windows,
        chart=draw_chart(windows),
        called=called,
        wanted=wanted,
        precision=precision,
    )


@router.get("/{number}")
def window(
    request: Request,
    classifier: Classifier,
    number: Number,
    state: State,
    person: Viewer,
    outcome: Outcome = "",
) -> HTMLResponse:
    """Show one window: what moved, novel phrases, the report, and the form for an answer."""
    with state.reading() as connection:
        report = _require_window(find_window(connection, classifier, number))
        reviews = window_reviews(connection, classifier, number)
    page = stored_report(report.report, reports=state.settings.reports)
    return render(
        request,
        "drift_window.html",
        classifier=classifier,
        window=report,
        seen=report.evidence,
        reviews=reviews,
        answers=ANSWERS,
        outcome=outcome,
        has_report=page is not None,
        prefect_url=state.settings.prefect_url,
    )


@router.get("/{number}/report")
def report(classifier: Classifier, number: Number, state: State, person: Viewer) -> Response:
    """Return Evidently's page of a window, for a frame without an origin."""
    with state.reading() as connection:
        stored = _require_window(find_window(connection, classifier, number))
    page = stored_report(stored.report, reports=state.settings.reports)
    if page is None:
        raise HTTPException(404, "The report of this window is no longer kept.")
    headers = {"content-security-policy": REPORT_POLICY}
    return FileResponse(page, media_type="text/html", headers=headers)


@router.post("/{number}/review")
def review(
    classifier: Classifier,
    number: Number,
    state: State,
    person: Reviewer,
    verdict: Annotated[str, Form()] = "",
    action: Annotated[str, Form()] = "",
    note: Annotated[str, Form()] = "",
) -> RedirectResponse:
    """Store what a person says of a window; a real drift retrains now, or asks for labels."""
    with state.changing() as connection:
        stored = _require_window(find_window(connection, classifier, number))
        hold_reports(connection, classifier)

        # Behind the lock, which may take minutes: a memory made meanwhile would miss the review,
        # and never look for one that is older than itself.
        now = state.clock()
        answer = Review(number, verdict, person.name, note.strip(), now)
        before, call = review_window(
            connection, answer, stored, classifier=classifier, action=action
        )
        called = first_call(connection, classifier, number)
        record_change(
            connection,
            person,
            what="review drift",
            subject=f"{classifier} window {number}",
            before=_as_change(before),
            after=_as_change(answer),
            now=now,
        )

    outcome = "saved"
    if action == RETRAIN and call:
        key = f"window {number}, decision {called}"
        outcome = _act(state, classifier, call, key=key)
    return RedirectResponse(f"/c/{classifier}/drift/{number}?outcome={outcome}", 303)


def _act(state: ConsoleState, classifier: str, call: Verdict, *, key: str) -> str:
    evidence = drift_payload(call, now=state.clock())["evidence"]
    page = start_retraining(state.settings, classifier, evidence, key=key)
    return "started" if page else "away"


def _as_change(review: Review | None) -> dict[str, object]:
    if review is None:
        return {}
    return {name: value for name, value in asdict(review).items() if name != "reviewed_at"}


def _require_window(stored: DriftReport | None) -> DriftReport:
    if stored is None:
        raise HTTPException(404, "No window of this classifier has that number.")
    return stored
