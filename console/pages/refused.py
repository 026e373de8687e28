"""None of these: refused phrases in clusters, each of which may become a new label."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from console.access.changes import record_change
from console.access.people import Reviewer, Viewer
from console.champion_labels import champion_labels
from console.rendering import render
from console.reviewing import MOST_PHRASES, Phrase
from console.state import Classifier, State
from core.errors import InvalidFeedback
from monitoring.performance.promises import check_promise, describe_promise
from monitoring.review.refused import SHOWN, champion_proposals, judged_refusals, name_label

router = APIRouter(prefix="/c/{classifier}/refused")


@router.get("")
def refused(request: Request, classifier: Classifier, state: State, person: Viewer) -> HTMLResponse:
    """Show the clusters with the most answers, and whether the version keeps its promise."""
    with state.reading() as connection:
        proposals = champion_proposals(connection, classifier, home=state.settings.home)
        promise = check_promise(connection, classifier)
        judged = judged_refusals(connection, classifier)
        labels = champion_labels(connection, classifier)
    return render(
        request,
        "refused.html",
        classifier=classifier,
        proposals=proposals[:SHOWN],
        more=len(proposals[SHOWN:]),
        most=MOST_PHRASES,
        promise=describe_promise(promise),
        judged=str(judged),
        labels=sorted(labels or ()),
    )


@router.post("")
def name(
    classifier: Classifier,
    state: State,
    person: Reviewer,
    phrases: Annotated[list[Phrase], Form(max_length=MOST_PHRASES)],
    label: Annotated[str, Form(max_length=500)] = "",
    none: Annotated[bool, Form()] = False,
) -> RedirectResponse:
    """Give the chosen phrases one label, new or known; or confirm that none is right."""
    wanted = "" if none else label.strip()
    if not wanted and not none:
        raise InvalidFeedback("a label", came="an empty one", do="write its name")
    now = state.clock()
    with state.changing() as connection:
        named = name_label(connection, classifier, phrases, wanted, author=person.name, now=now)
        record_change(
            connection,
            person,
            what="name refused phrases",
            subject=classifier,
            before={"label": None},
            after={"label": wanted, "phrases": [phrase.cleaned for phrase in named]},
            now=now,
        )
    return RedirectResponse(f"/c/{classifier}/refused", 303)
