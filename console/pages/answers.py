"""The log of answers: searched page by page."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from console.access.people import Viewer
from console.answer_query import ROLES, AnswerQuery
from console.rendering import render
from console.state import Classifier, State
from monitoring.answers import answer_page
from monitoring.phrase_search import finds_parts

router = APIRouter()


@router.get("/c/{classifier}/answers")
def answers(
    request: Request, classifier: Classifier, query: AnswerQuery, state: State, person: Viewer
) -> HTMLResponse:
    """Show one page of the answers that match."""
    with state.reading() as connection:
        page = answer_page(connection, query.search(classifier))
        by_parts = finds_parts(connection)
    return render(
        request,
        "answers.html",
        classifier=classifier,
        query=query,
        roles=ROLES,
        page=page,
        older=query.older(page.older),
        full=len(page.answers) == query.limit,
        by_parts=by_parts,
    )
