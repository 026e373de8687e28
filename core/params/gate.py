"""The `gate` block of a classifier: when a candidate is promoted."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.params.heads import StrictBlock
from core.params.types import LONGEST_DAYS, Share


class GateParams(StrictBlock):
    """What a candidate must reach, and what it may lose against the champion."""

    min_weighted_f1: Share = 0.5
    """Least weighted F1 on the test rows."""

    max_weighted_f1_drop: Share = 0.005
    """Largest loss of weighted F1 against the champion, at the lower 95 % bound."""

    max_label_recall_drop: Share = 0.10
    """Largest loss of recall or precision of a single label, once it is proved."""

    max_champion_days: float = Field(90.0, gt=0, le=LONGEST_DAYS)
    """After so many days, a candidate that is not worse replaces the champion."""

    max_flips: Share = 1.0
    """Largest share of the recent answers that may change without a person; 1 never waits."""

    max_abstained_change: Share = 0.05
    """Largest change of the share of recent answers that are refused, without a person."""

    promote: Literal["automatic", "by_hand"] = "automatic"
    """`by_hand`: a candidate that would be promoted waits for `perennial rollout promote`."""
