"""The `drift` block of a classifier: how its traffic is watched."""

from __future__ import annotations

from pydantic import Field

from core.params.heads import StrictBlock
from core.params.types import LONGEST_DAYS, Cron, Share


class DriftParams(StrictBlock):
    """How the traffic of a classifier is watched."""

    window_rows: int = Field(2000, ge=100, le=20_000)
    """Most answers per window. A window spans at least a day; of a busy day so many are read. A
    watch looks at so many answers at most to find where a window ends."""

    window_days: float = Field(7.0, ge=1, le=LONGEST_DAYS)
    """Most days per window, unless fewer than 100 answers came."""

    cool_down_days: float = Field(1.0, ge=0, le=LONGEST_DAYS)
    """Least days between two retrainings for drift."""

    min_labelled_share: Share = 0.3
    """Share of the drifted answers whose phrase has a label, before drift retrains."""

    schedule: Cron = "0 * * * *"
    """When windows are judged, as five fields of cron in UTC."""
