"""`/api/{classifier}/review`: the queue of one classifier for programs, and for the page."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from console.access.people import Reviewer, Viewer
from console.label_choice import DescribedLabel, label_choice
from console.reviewing import (
    LARGEST_ID,
    MOST_PHRASES,
    ActId,
    AnswerBody,
    ItemId,
    Phrase,
    count_concerned,
    next_or_refilled,
    review,
    take_back,
)
from console.state import Classifier, State
from monitoring.review.acts import Outcome
from monitoring.review.queue import QueuedItem

router = APIRouter(prefix="/api/{classifier}/review")
Held = Annotated[int, Field(ge=1, le=LARGEST_ID)]
Besides = Annotated[list[Held], Query(default_factory=list, max_length=20)]


class Likely(BaseModel):
    """A label and its probability in [0, 1]."""

    label: str
    probability: float


class Item(BaseModel):
    """An answer to look at; `likeliest` are up to five labels, the answered one first.

    Of a row of the source whose label is probably wrong, `likeliest` are the proposed label and
    that of the row, and `proposed_label` is the former; it is null for an answer.
    """

    id: int
    phrase: str
    request_id: str
    version: str
    region: str | None
    occurred_at: datetime
    frequency: int
    likeliest: list[Likely]
    proposed_label: str | None = None


class NextItem(BaseModel):
    """The item that is leased to the caller; null when nothing waits for them."""

    item: Item | None


class Reviewed(BaseModel):
    """What an answer led to.

    `decided`: the label counts. `waits`: other people must answer. `late`: it was decided before.
    """

    outcome: Outcome


class UndoBody(BaseModel):
    """The act to undo."""

    act: ActId


class PreviewBody(BaseModel):
    """Cleaned phrases that would get the label of the item."""

    also: list[Phrase] = Field(default=[], max_length=MOST_PHRASES)


class Preview(BaseModel):
    """How many phrases of the log a label concerns, and how many of its answers.

    `more`: of a phrase that is asked often, not all answers were counted. `unknown` phrases are
    not in the log and get no label.
    """

    phrases: int
    answers: int
    more: bool
    unknown: int


@router.get("/next")
def next_of_queue(
    classifier: Classifier, state: State, person: Reviewer, besides: Besides
) -> NextItem:
    """Lease the next item for ten minutes; `besides` are items that the caller holds already."""
    leased = next_or_refilled(state, classifier, person, besides)
    return NextItem(item=None if leased is None else _shown(leased))


@router.post("/{item}/answer")
def answer(
    classifier: Classifier, item: ItemId, body: AnswerBody, state: State, person: Reviewer
) -> Reviewed:
    """Answer an item: with a label, with "none of these", or by a skip with its reason."""
    return Reviewed(outcome=review(state, classifier, item, person, body))


@router.post("/{item}/preview")
def preview(
    classifier: Classifier, item: ItemId, body: PreviewBody, state: State, person: Reviewer
) -> Preview:
    """Count the logged answers that one label for the item and other phrases concerns."""
    concerned = count_concerned(state, classifier, item, body.also)
    return Preview.model_validate(asdict(concerned))


@router.post("/undo")
def undo(classifier: Classifier, body: UndoBody, state: State, person: Reviewer) -> Item:
    """Undo an act of the caller, and lease its item to them again."""
    return _shown(take_back(state, classifier, person, body.act))


@router.get("/labels")
def labels(classifier: Classifier, state: State, person: Viewer) -> list[DescribedLabel]:
    """Return the labels of the champion, with descriptions where there are any."""
    return label_choice(state, classifier)


def _shown(item: QueuedItem) -> Item:
    likeliest = [Likely(label=label, probability=share) for label, share in item.likeliest]
    return Item.model_validate({**asdict(item), "likeliest": likeliest})
