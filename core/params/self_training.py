"""The `self_training` block of a classifier: it learns from its own answers where it is sure."""

from __future__ import annotations

from pydantic import Field

from core.params.heads import StrictBlock
from core.params.types import LONGEST_DAYS


class SelfTrainingParams(StrictBlock):
    """Which phrases of the log join the training with the label that the judged head gives them.

    min_confidence : least calibrated probability of an answer that joins
    weight : training rows that each joined phrase counts for
    days : how far back from the snapshot clients asked the phrases
    max_phrases : most phrases that a snapshot takes; the most frequent ones come first
    """

    min_confidence: float = Field(0.95, gt=0, lt=1)
    weight: float = Field(0.2, gt=0, le=1)
    days: int = Field(30, ge=1, le=LONGEST_DAYS)
    max_phrases: int = Field(10_000, ge=1, le=200_000)
