"""`/api/{classifier}/pins`: the pins of a classifier, as JSON."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from console.access.people import Operator, Viewer
from console.pin_changes import pin_phrase, unpin_phrase
from console.state import Classifier, State
from core.pins import Pin
from monitoring.labels.pin_list import ListedPin, list_pins

router = APIRouter(prefix="/api/{classifier}/pins")


class PinRequest(BaseModel):
    """A phrase to pin; `until` without a zone is in UTC, null for no end."""

    model_config = ConfigDict(extra="forbid")

    phrase: str
    label: str
    why: str
    until: datetime | None = None


class EndRequest(BaseModel):
    """A phrase that the version answers again."""

    model_config = ConfigDict(extra="forbid")

    phrase: str
    why: str


@router.get("")
def pins(
    state: State, person: Viewer, classifier: Classifier, past: bool = False
) -> dict[str, list[ListedPin]]:
    """Return the pins, the newest first; with `past`, also those that do not answer any more."""
    with state.reading() as connection:
        return {"pins": list_pins(connection, classifier, now=state.clock(), past=past)}


@router.post("", status_code=201)
def add(state: State, person: Operator, classifier: Classifier, wanted: PinRequest) -> Pin:
    """Pin a phrase."""
    until = wanted.until
    if until is not None and until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return pin_phrase(
        state,
        person,
        classifier,
        phrase=wanted.phrase,
        label=wanted.label,
        why=wanted.why,
        until=until,
    )


@router.post("/end")
def end(state: State, person: Operator, classifier: Classifier, wanted: EndRequest) -> Pin:
    """End the pin of a phrase; return it."""
    return unpin_phrase(state, person, classifier, phrase=wanted.phrase, why=wanted.why)
