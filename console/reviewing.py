"""What a reviewer does, checked and recorded: shared by the page and the API."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from sqlalchemy.engine import Connection

from console.access.changes import record_change
from console.access.people import Person
from console.access.users import reviews_alone
from console.champion_labels import champion_labels
from console.state import ConsoleState
from core.deployments import current_champions
from core.errors import InvalidFeedback, UnknownRequest
from flows.review import refill_when_empty
from monitoring.review.acts import Act, Outcome, answer_as_before, answer_item
from monitoring.review.deciding import Answer, AnswerKind
from monitoring.review.fixes import fix_phrases, logged_phrases
from monitoring.review.neighbours import Neighbour, phrase_neighbours
from monitoring.review.queue import (
    QueuedItem,
    count_waiting,
    is_held,
    lease_item,
    next_item,
    read_item,
)
from monitoring.review.undo import undo_act

LARGEST_ID = 2**63 - 1
MOST_PHRASES = 50
ItemId = Annotated[int, Path(ge=1, le=LARGEST_ID)]
Words = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00]+$")]
Phrase = Annotated[str, StringConstraints(min_length=1, max_length=10_000, pattern=r"^[^\x00]+$")]
ActId = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[\w-]+$")]


class AnswerBody(BaseModel):
    """An answer to an item. `act` is new for each press of a key; send it again when in doubt.

    `also` are cleaned phrases that get the same label.
    """

    model_config = ConfigDict(extra="forbid")

    act: ActId
    kind: AnswerKind = "label"
    label: Words | None = None
    reason: Words | None = None
    also: list[Phrase] = Field(default=[], max_length=MOST_PHRASES)

    @model_validator(mode="after")
    def _fits(self) -> AnswerBody:
        if (self.label is not None) != (self.kind == "label"):
            raise ValueError("a label belongs to the kind label, and to no other")
        if (self.reason is not None) != (self.kind == "skip"):
            raise ValueError("a reason belongs to the kind skip, and to no other")
        if self.also and self.kind == "skip":
            raise ValueError("a skipped item has no other phrases")
        return self

    @property
    def answer(self) -> Answer:
        return Answer(self.kind, self.label, self.reason)


def review(
    state: ConsoleState, classifier: str, item: int, person: Person, body: AnswerBody
) -> Outcome:
    """Store an answer and the labels of the phrases beside it, in one transaction."""
    now = state.clock()
    with state.changing() as connection:
        alone = not person.signed_in or reviews_alone(connection, person.name)
        act = Act(body.act, person.name, body.answer, alone=alone)
        _check_label(connection, classifier, body.label)
        outcome = answer_item(connection, classifier, item, act, now=now)
        answered = read_item(connection, classifier, item)
        others = [phrase for phrase in body.also if phrase != answered.cleaned]
        fixed = fix_phrases(connection, classifier, others, act, now=now)
        record_change(
            connection,
            person,
            what=f"review: {body.kind}",
            subject=f"{classifier} item {item}",
            before={"label": answered.label},
            after={
                "label": body.label,
                "reason": body.reason,
                "also": [phrase.cleaned for phrase in fixed],
                "act": body.act,
            },
            now=now,
        )
    return outcome


def take_back(state: ConsoleState, classifier: str, person: Person, act: str) -> QueuedItem:
    """Undo an act; return its item, leased to the person again."""
    now = state.clock()
    with state.changing() as connection:
        items = undo_act(connection, classifier, person=person.name, act=act, now=now)
        record_change(
            connection,
            person,
            what="review: undo",
            subject=f"{classifier} item {items[0]}",
            before={"act": act, "items": items},
            now=now,
        )
        return read_item(connection, classifier, items[0])


def next_or_refilled(
    state: ConsoleState, classifier: str, person: Person, besides: Collection[int] = ()
) -> QueuedItem | None:
    """Lease the next item to a person; where nothing waits for anybody, refill the queue first."""

    def lease() -> QueuedItem | None:
        while True:
            now = state.clock()
            with state.changing() as connection:
                item = next_item(
                    connection, classifier, person=person.name, now=now, besides=besides
                )
                if item is None or not answer_as_before(connection, classifier, item.id, now=now):
                    return item

    item = lease()
    if item is None and not _waiting(state, classifier):
        refill_when_empty(state.context, classifier, now=state.clock())
        item = lease()
    return item


def _waiting(state: ConsoleState, classifier: str) -> int:
    with state.reading() as connection:
        return count_waiting(connection, classifier)


def open_item(state: ConsoleState, classifier: str, item: int, person: Person) -> QueuedItem:
    """Return an item that the person holds, and renew the lease. Raises `UnknownRequest`.

    Others come in their turn: somebody else may hold them, or they are random draws, which must
    not be labelled because somebody chose to.
    """
    now = state.clock()
    with state.changing() as connection:
        if not is_held(connection, item, person=person.name, now=now):
            raise UnknownRequest(
                f"an item of the queue of {classifier} that you have before you",
                came=str(item),
                do="take the next item",
            )
        lease_item(connection, item, person=person.name, now=now)
        return read_item(connection, classifier, item)


def neighbours_of(state: ConsoleState, classifier: str, cleaned: str) -> list[Neighbour]:
    """Return the nearest phrases; none without a champion, or before they are known."""
    with state.reading() as connection:
        champion = current_champions(connection).get(classifier)
    if champion is None:
        return []
    return phrase_neighbours(state.settings.home, champion.model, cleaned)


@dataclass(frozen=True)
class Concerned:
    """What a label concerns: phrases of the log, and their answers; there may be `more` of them.

    `unknown` phrases are not in the log, such as rows of the source: they get no label.
    """

    phrases: int
    answers: int
    more: bool
    unknown: int


def count_concerned(
    state: ConsoleState, classifier: str, item: int, also: Collection[str]
) -> Concerned:
    """Count what one label for an item and other phrases concerns."""
    with state.reading() as connection:
        own = read_item(connection, classifier, item).cleaned
        phrases = logged_phrases(connection, classifier, [own, *also])
    answers = sum(phrase.answers for phrase in phrases)
    more = any(phrase.has_more for phrase in phrases)
    return Concerned(len(phrases), answers, more, len({own, *also}) - len(phrases))


def _check_label(connection: Connection, classifier: str, label: str | None) -> None:
    labels = champion_labels(connection, classifier)
    if label is None or labels is None or label in labels:
        return
    raise InvalidFeedback(
        f"a label of {classifier}", came=label[:80], do="choose one of the classifier's labels"
    )
