"""The review page: one answer after the other, by keyboard; by forms without JavaScript."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from console.access.people import Reviewer, Viewer
from console.api.review import Besides
from console.label_choice import label_choice, label_descriptions
from console.rendering import render
from console.review_form import LABEL, REASONS, AnswerForm, new_act
from console.reviewing import (
    LARGEST_ID,
    ActId,
    AnswerBody,
    ItemId,
    count_concerned,
    neighbours_of,
    next_or_refilled,
    open_item,
    review,
    take_back,
)
from console.state import Classifier, ConsoleState, State
from core.errors import EmbedderUnusable, HeadRefused, UnknownRequest, UnknownVersion
from flows.outages import named_outages
from lineage.why import explain_answer
from monitoring.review.agreement import read_agreement
from monitoring.review.queue import QueuedItem, count_waiting, read_item
from monitoring.review.undo import newest_act
from monitoring.review.worth import queue_report

router = APIRouter(prefix="/c/{classifier}/review")
ItemNumber = Annotated[int | None, Query(ge=1, le=LARGEST_ID)]


@router.get("")
def page(
    request: Request,
    classifier: Classifier,
    state: State,
    person: Reviewer,
    item: ItemNumber = None,
) -> HTMLResponse:
    """Show the next item, or the one asked for, when the person holds it."""
    if item is None:
        shown = next_or_refilled(state, classifier, person)
    else:
        shown = open_item(state, classifier, item, person)
    with state.reading() as connection:
        facts: dict[str, Any] = {
            "waiting": count_waiting(connection, classifier),
            "agreement": read_agreement(connection, classifier),
            "last_act": newest_act(connection, classifier, person=person.name),
        }
    return render(
        request,
        "review.html",
        **_card(state, classifier, shown),
        **facts,
        reviewer=person.name,
        neighbours=[] if shown is None else neighbours_of(state, classifier, shown.cleaned),
        labels=label_choice(state, classifier),
    )


@router.get("/worth")
def worth(request: Request, classifier: Classifier, state: State, person: Viewer) -> HTMLResponse:
    """Show what the labels of each strategy of the queue were worth."""
    params = state.context.params
    block = params.classifiers.get(classifier)
    shares = {} if block is None else block.review.shares.by_strategy()
    with state.reading() as connection:
        rows = queue_report(
            connection, classifier, shares=shares, now=state.clock(), seed=params.seed
        )
    return render(request, "review_worth.html", classifier=classifier, rows=rows)


@router.get("/card")
def card(
    request: Request, classifier: Classifier, state: State, person: Reviewer, besides: Besides
) -> HTMLResponse:
    """Return the next item as a part of the page, which fetches it before it is needed."""
    shown = next_or_refilled(state, classifier, person, besides)
    return render(request, "review_card.html", **_card(state, classifier, shown), neighbours=[])


@router.get("/{item}/card")
def one_card(
    request: Request, classifier: Classifier, item: ItemId, state: State, person: Reviewer
) -> HTMLResponse:
    """Return one item as a part of the page, as after an undo."""
    shown = open_item(state, classifier, item, person)
    return render(request, "review_card.html", **_card(state, classifier, shown), neighbours=[])


@router.get("/{item}/neighbours")
def neighbours(
    request: Request, classifier: Classifier, item: ItemId, state: State, person: Viewer
) -> HTMLResponse:
    """Return the nearest phrases of an item as a part of the page."""
    with state.reading() as connection:
        shown = read_item(connection, classifier, item)
    neighbours = neighbours_of(state, classifier, shown.cleaned)
    return render(request, "review_neighbours.html", neighbours=neighbours)


@router.get("/{item}/why")
def why(
    request: Request, classifier: Classifier, item: ItemId, state: State, person: Viewer
) -> Response:
    """Return what each word added to the answer of an item, as a part of the page.

    Nothing where it cannot be said: the answer left the log, or its version or embedder the home.
    """
    with state.reading() as connection:
        shown = read_item(connection, classifier, item)
    try:
        with named_outages():
            reasons = explain_answer(state.context, shown.request_id)
    except (UnknownRequest, UnknownVersion, HeadRefused, EmbedderUnusable):
        return Response(status_code=204)
    return render(request, "why.html", reasons=reasons)


@router.post("/undo")
def undo(
    classifier: Classifier, act: Annotated[ActId, Form()], state: State, person: Reviewer
) -> RedirectResponse:
    """Undo an act, and show its item again."""
    item = take_back(state, classifier, person, act)
    return RedirectResponse(f"/c/{classifier}/review?{urlencode({'item': item.id})}", 303)


@router.post("/{item}")
def answer(
    request: Request,
    classifier: Classifier,
    item: ItemId,
    form: Annotated[AnswerForm, Form()],
    state: State,
    person: Reviewer,
) -> Response:
    """Answer an item by the form. Other phrases are previewed before they get the label, too."""
    with state.reading() as connection:
        shown = read_item(connection, classifier, item)
    body = form.body(shown, label_choice(state, classifier))
    if body.also and not form.previewed:
        return _preview(request, state, classifier, shown, body)
    review(state, classifier, item, person, body)
    return RedirectResponse(f"/c/{classifier}/review", 303)


def _preview(
    request: Request, state: ConsoleState, classifier: str, item: QueuedItem, body: AnswerBody
) -> HTMLResponse:
    concerned = count_concerned(state, classifier, item.id, body.also)
    return render(
        request,
        "review_preview.html",
        classifier=classifier,
        item=item,
        body=body,
        choice="none" if body.label is None else LABEL + body.label,
        concerned=concerned,
    )


def _card(state: ConsoleState, classifier: str, item: QueuedItem | None) -> dict[str, Any]:
    return {
        "classifier": classifier,
        "item": item,
        "act": new_act(),
        "reasons": REASONS,
        "descriptions": label_descriptions(state.settings.repository, classifier),
    }
