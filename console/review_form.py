"""The form of the review page: what its buttons and fields mean."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

from pydantic import BaseModel, Field, ValidationError

from console.label_choice import DescribedLabel, find_label
from console.reviewing import MOST_PHRASES, ActId, AnswerBody, Phrase
from core.errors import InvalidFeedback
from monitoring.review.queue import QueuedItem

LABEL = "label:"
"""Before the label in the value of its button."""
REASONS = ("not sure", "unreadable", "means several things", "needs to be seen by an expert")


class AnswerForm(BaseModel):
    """A press of a button.

    `choice` is `label:NAME`, `none`, `skip`, or `entered`: the text that was typed, else the reason
    of a skip, else the answer itself.
    """

    act: ActId
    choice: str = Field(max_length=1100)
    typed: str = Field("", max_length=1000)
    reason: str = Field("", max_length=1000)
    also: list[Phrase] = Field([], max_length=MOST_PHRASES)
    previewed: bool = False

    def body(self, item: QueuedItem, labels: Sequence[DescribedLabel]) -> AnswerBody:
        """Return the answer that the form gives. Raises `InvalidFeedback`."""
        try:
            return AnswerBody.model_validate(self._body(item, labels))
        except ValidationError as error:
            first = error.errors()[0]
            raise InvalidFeedback(
                "a label, none of these, or a skip with a reason",
                came=first["msg"],
                do="choose one, and write a reason for a skip",
            ) from None

    def _body(self, item: QueuedItem, labels: Sequence[DescribedLabel]) -> dict[str, object]:
        common = {"act": self.act, "also": self.also}
        if self.choice.startswith(LABEL):
            return {**common, "label": self.choice.removeprefix(LABEL)}
        if self.choice == "none":
            return {**common, "kind": "none_of_these"}
        if self.choice == "skip" or self._means_skip:
            return {"act": self.act, "kind": "skip", "reason": self.reason.strip() or None}
        if self.choice != "entered":
            return {**common, "kind": self.choice}
        label = find_label(labels, self.typed) if self.typed.strip() else item.accepted
        return {**common, "label": label}

    @property
    def _means_skip(self) -> bool:
        return not self.typed.strip() and bool(self.reason.strip())


def new_act() -> str:
    """Return the id of the next press of a key."""
    return uuid4().hex
