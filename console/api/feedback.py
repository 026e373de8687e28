"""`POST /api/feedback`: the right label of a logged answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.engine import Connection

from console.access.changes import record_change
from console.access.people import Person, Reviewer
from console.champion_labels import champion_labels
from console.reviewing import Words
from console.state import State
from core.deployments import current_champions
from core.errors import InvalidFeedback
from core.feedback import (
    KINDS,
    NONE_OF_THESE,
    FeedbackRow,
    Labels,
    insert_feedback,
    sample_probability,
    separate_feedback,
)
from monitoring.review.drawn import drawn_probabilities, row_as_drawn

router = APIRouter()
Kind = Literal["correction", "confirmation", "sample", "double_review", "unknown", "none_of_these"]
assert Kind.__args__ == (*KINDS, NONE_OF_THESE)  # type: ignore[attr-defined]


class FeedbackBody(BaseModel):
    """The right label of the answer `request_id`; the author is who sends it.

    `kind` says why somebody looked. A sample is an answer that the review queue drew at random: its
    `probability` is the stored one, and may be left out. The kind none_of_these has no label.
    `new_label` admits a label that the champion does not know.
    """

    model_config = ConfigDict(extra="forbid")

    request_id: Words
    label: Words | None = None
    kind: Kind = "unknown"
    probability: Annotated[float, Field(gt=0, le=1)] | None = None
    new_label: bool = False

    @model_validator(mode="after")
    def _fits(self) -> FeedbackBody:
        if (self.label is None) != (self.kind == NONE_OF_THESE):
            raise ValueError(f"a label belongs to every kind but {NONE_OF_THESE}")
        if self.probability is not None:
            sample_probability(self.probability, self.kind)
        return self


class Stored(BaseModel):
    """`stored` is false for a label that the same author has sent before."""

    request_id: str
    author: str
    received_at: datetime
    stored: bool


@router.post("/api/feedback")
def send_feedback(body: FeedbackBody, state: State, person: Reviewer) -> Stored:
    """Store the right label of a logged answer. It becomes a row of the next snapshot."""
    now = state.clock()
    row = FeedbackRow(
        0,
        body.request_id.strip(),
        (body.label or "").strip(),
        person.name,
        kind=body.kind,
        probability=body.probability,
        new_label=body.new_label,
    )
    with state.changing() as connection:
        row = _as_drawn(connection, row)
        separated = separate_feedback(connection, [row], labels=_known_labels(connection))
        if separated.problems:
            raise separated.problems[0][1]
        accepted = [replace(each, received_at=now) for each in separated.accepted]
        insert_feedback(connection, accepted)
        for each in accepted:
            _record(connection, person, each, now)
    return Stored(
        request_id=row.request_id,
        author=person.name,
        received_at=now,
        stored=bool(accepted),
    )


def _as_drawn(connection: Connection, row: FeedbackRow) -> FeedbackRow:
    """Return a sample with the probability of its draw. Raises `InvalidFeedback` without one."""
    drawn = row_as_drawn(row, drawn_probabilities(connection, [row.request_id]))
    if isinstance(drawn, FeedbackRow):
        return drawn
    raise InvalidFeedback("the label of a drawn answer", came=drawn.reason, do="correct it")


def _known_labels(connection: Connection) -> Labels:
    labels = {name: champion_labels(connection, name) for name in current_champions(connection)}
    return {name: known for name, known in labels.items() if known is not None}


def _record(connection: Connection, person: Person, row: FeedbackRow, now: datetime) -> None:
    record_change(
        connection,
        person,
        what="feedback",
        subject=f"{row.classifier} {row.request_id}",
        after={"label": row.label, "kind": row.kind},
        now=now,
    )
