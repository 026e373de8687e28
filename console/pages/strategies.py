"""What the labels of each strategy were worth: a part of the review page."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from console.access.people import Viewer
from console.rendering import render
from console.state import Classifier, State
from core.review_params import ReviewParams
from monitoring.review.worth import queue_report

router = APIRouter(prefix="/c/{classifier}/review")
Weeks = Annotated[int, Query(ge=1, le=520)]


@router.get("/strategies")
def strategies(
    request: Request, classifier: Classifier, state: State, person: Viewer, weeks: Weeks = 8
) -> HTMLResponse:
    """Show what the labels of each strategy were worth, and what to switch off."""
    block = state.context.params.classifiers.get(classifier)
    review = block.review if block else ReviewParams()
    with state.reading() as connection:
        rows = queue_report(
            connection,
            classifier,
            shares=review.shares.by_strategy(),
            now=state.clock(),
            seed=state.context.params.seed,
            since=timedelta(weeks=weeks),
        )
    return render(
        request, "strategies.html", classifier=classifier, rows=rows, review=review, weeks=weeks
    )
