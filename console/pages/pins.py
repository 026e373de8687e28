"""Pins: which phrases people fixed, and how often each answered; to add one, and to end one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy.engine import Connection

from console.access.people import Operator, Viewer
from console.pin_changes import pin_phrase, unpin_phrase
from console.rendering import render
from console.state import Classifier, State
from core.errors import HeadRefused, UnknownVersion
from monitoring.labels.pin_list import list_pins
from monitoring.labels.pinning import MAX_PINS, MAX_TEXT, PinRefused, champion_labels

router = APIRouter()
Text = Annotated[str, Form()]
Filled = Annotated[str, Query(max_length=10_000)]


@router.get("/c/{classifier}/pins")
def pins(
    request: Request,
    state: State,
    person: Viewer,
    classifier: Classifier,
    past: bool = False,
    phrase: Filled = "",
    label: Filled = "",
) -> HTMLResponse:
    """Show the pins of a classifier; with `past`, also those that do not answer any more.

    `phrase` and `label` fill the form, such as from the page of an answer.
    """
    with state.reading() as connection:
        listed = list_pins(connection, classifier, now=state.clock(), past=past)
        labels = _labels(connection, classifier)
    return render(
        request,
        "pins.html",
        classifier=classifier,
        listed=listed,
        labels=labels,
        past=past,
        wanted={"phrase": phrase, "label": label},
        may=person.role == "operator",
        most=MAX_PINS,
        longest=MAX_TEXT,
    )


@router.post("/c/{classifier}/pins")
def add(
    state: State,
    person: Operator,
    classifier: Classifier,
    phrase: Text,
    label: Text,
    why: Text,
    until: Text = "",
) -> RedirectResponse:
    """Pin a phrase; `until` is a moment in UTC, empty for no end."""
    pin_phrase(state, person, classifier, phrase=phrase, label=label, why=why, until=_moment(until))
    return RedirectResponse(f"/c/{classifier}/pins", 303)


@router.post("/c/{classifier}/pins/end")
def end(
    state: State, person: Operator, classifier: Classifier, phrase: Text, why: Text
) -> RedirectResponse:
    """End the pin of a phrase."""
    unpin_phrase(state, person, classifier, phrase=phrase, why=why)
    return RedirectResponse(f"/c/{classifier}/pins", 303)


def _labels(connection: Connection, classifier: str) -> list[str]:
    """Return the labels to choose from; none without a champion whose head can be read."""
    try:
        return sorted(champion_labels(connection, classifier))
    except (UnknownVersion, HeadRefused):
        return []


def _moment(text: str) -> datetime | None:
    if not text.strip():
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise PinRefused(
            "an end such as 2026-03-01T12:00, in UTC", came=repr(text[:80]), do="correct it"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
