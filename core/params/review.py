"""The `review` block of a classifier in params.yaml: how many labels people give, and of what."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from core.params.heads import StrictBlock

Share = Annotated[float, Field(ge=0, le=1)]
ROUNDING = 1e-6


class ReviewShares(StrictBlock):
    """Which share of the labels each strategy chooses. A block that names some gives others none.

    The strategies are those of `monitoring/review/strategies.py`.
    """

    random: Share = 0.2
    low_confidence: Share = 0.2
    novel: Share = 0.2
    disagreement: Share = 0.1
    unseen: Share = 0.1
    contradicted: Share = 0.1
    suspects: Share = 0.1

    @model_validator(mode="before")
    @classmethod
    def _others_get_none(cls, block: Any) -> Any:
        if not isinstance(block, dict) or not block:
            return block
        return {**dict.fromkeys(cls.model_fields, 0.0), **block}

    @model_validator(mode="after")
    def _whole(self) -> ReviewShares:
        total = sum(self.by_strategy().values())
        if abs(total - 1) > ROUNDING:
            raise ValueError(f"shares must add up to 1, not to {total:g}")
        return self

    def by_strategy(self) -> dict[str, float]:
        """Return strategy -> share, in the order of the fields."""
        return {name: float(getattr(self, name)) for name in type(self).model_fields}


class ReviewParams(StrictBlock):
    """How many labels people give, and which answers they look at."""

    labels_per_week: int = Field(40, ge=1, le=1_000_000)
    """Phrases that are put into the queue in 7 days, at most."""

    shares: ReviewShares = ReviewShares()

    twice: Share = 0.1
    """Share of the phrases that two people label, each without the other's label."""
