"""The `abstain` block of a classifier in params.yaml: when it answers "none of these"."""

from __future__ import annotations

from pydantic import Field, model_validator

from core.params.heads import StrictBlock


class AbstainParams(StrictBlock):
    """When a classifier refuses a phrase. Exactly one of both limits.

    Both are about phrases that were never labelled: a phrase that was is always answered.
    """

    max_false: float | None = Field(None, gt=0, lt=1)
    """Share of the phrases that have a label that may be refused, at most."""

    min_precision: float | None = Field(None, gt=0, lt=1)
    """Share of the phrases answered that must be right, at least."""

    @model_validator(mode="after")
    def _exactly_one(self) -> AbstainParams:
        if (self.max_false is None) == (self.min_precision is None):
            raise ValueError("exactly one of max_false and min_precision")
        return self
