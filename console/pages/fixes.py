"""What became of the labels that contradicted an answer, and the number of answers they changed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from console.access.people import Viewer
from console.rendering import render
from console.state import Classifier, ConsoleState, State
from monitoring.labels.fixes import (
    SHOWN,
    FixOutcome,
    FixTotals,
    count_fixes,
    outcome_of,
    read_fixes,
    read_history,
)
from monitoring.performance.answer_counts import count_some_answers

router = APIRouter()
LARGEST_ID = 2**63 - 1

By = Annotated[str, Query(alias="by", max_length=200, description="The author of the fixes.")]
Before = Annotated[int, Query(alias="before", ge=0, le=LARGEST_ID, description="An id: go on.")]


@router.get("/c/{classifier}/fixes")
def fixes(
    request: Request,
    classifier: Classifier,
    state: State,
    person: Viewer,
    by: By = "",
    before: Before = LARGEST_ID,
) -> HTMLResponse:
    """Show the newest fixes, of everybody or of one author, SHOWN on a page."""
    count_some_answers(state.context.engine, classifier, now=state.clock())
    author = by.replace("\0", "").strip()
    outcomes, totals = _read(state, classifier, author, before)
    return render(
        request,
        "fixes.html",
        classifier=classifier,
        author=author,
        is_own=author == person.name,
        viewer=person.name,
        outcomes=outcomes,
        totals=totals,
        next_page=outcomes[-1].fix.id if len(outcomes) == SHOWN else None,
    )


def _read(
    state: ConsoleState, classifier: str, author: str, before: int
) -> tuple[list[FixOutcome], FixTotals | None]:
    """Return what became of the fixes of a page, and the totals when they are one author's."""
    block = state.context.params.classifiers.get(classifier)
    with state.reading() as connection:
        listed = read_fixes(connection, classifier, author=author or None, before=before)
        totals = count_fixes(connection, classifier, author=author) if author else None
        if not listed:
            return [], totals
        history = read_history(
            connection,
            classifier,
            dataset=block.source.dataset if block else None,
            since=min(fix.received_at for fix in listed),
        )
    return [outcome_of(fix, history) for fix in listed], totals
