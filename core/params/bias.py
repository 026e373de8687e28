"""The `bias` block of a classifier in params.yaml: limits of five kinds of bias."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core.params.heads import StrictBlock

Share = Annotated[float, Field(ge=0, le=1)]


class BiasParams(StrictBlock):
    """Limits of five kinds of bias. Beyond one for certain, a promotion waits for a person.

    Bias of answers (historical, evaluation) that the champion has too holds nothing.

    historical : share of test rows that get the label their phrase had before the newest days
    representation : how many times as often a group occurs in recent rows as in training rows
    measurement : how much more often a group disagrees with other groups' labels than with its own
    aggregation : accuracy that one model per region would gain on unseen phrases
    evaluation : how much more often a group's test rows are answered wrongly than all others
    rare_labels : the same for the rare labels, which are harder in any data
    min_rows : rows of a group from which on it is measured
    """

    historical: Share = 0.05
    representation: float = Field(4.0, ge=1)
    measurement: Share = 0.10
    aggregation: Share = 0.02
    evaluation: Share = 0.15
    rare_labels: Share = 0.30
    min_rows: int = Field(200, ge=30)
