"""`GET /api/{classifier}/answers`: the log of answers, page by page."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel

from console.access.people import Viewer
from console.answer_query import AnswerQuery, write_place
from console.state import Classifier, State
from monitoring.answers import answer_page

router = APIRouter()


class LoggedAnswer(BaseModel, from_attributes=True):
    """One answer; `right` is its newest right label, null without feedback.

    `label` is what the client got, also where it was `pinned`; `probability` is the version's.
    Where it `abstained`, the client got "none of these", and `label` is the best guess.
    """

    occurred_at: datetime
    request_id: str
    version: str
    role: str
    region: str | None
    phrase: str
    label: str
    probability: float
    right: str | None
    pinned: bool
    abstained: bool


class Answers(BaseModel):
    """One page, newest first. Send `older` as `before` for the next; null ends the log.

    A page may have fewer answers than the limit, or none, and still name an older one.
    """

    answers: list[LoggedAnswer]
    older: str | None


@router.get("/api/{classifier}/answers")
def answers(classifier: Classifier, query: AnswerQuery, state: State, person: Viewer) -> Answers:
    """Search the answers of a classifier by phrase, label, version, role, region, time and id."""
    with state.reading() as connection:
        page = answer_page(connection, query.search(classifier))
    return Answers(
        answers=[LoggedAnswer.model_validate(row) for row in page.answers],
        older=write_place(page.older) if page.older else None,
    )
