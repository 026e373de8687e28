"""Names clients whose clock is off by more than a day. Pure."""

from __future__ import annotations

import numpy as np
import pandas as pd

from monitoring.windows.cutting import days_off, on_time
from monitoring.windows.damaged import sender_of

LEAST_ROWS_OFF = 10
"""One request with a wrong date is a typing error, not a clock."""


def name_wrong_clocks(rows: pd.DataFrame) -> str:
    """Return one sentence on the rows of a window (in order of arrival), or ""."""
    moments = rows["occurred_at"].to_numpy(dtype="datetime64[ns]")
    off = ~on_time(moments)
    if off.sum() < LEAST_ROWS_OFF:
        return ""
    days = float(np.median(days_off(moments)[off]))
    direction = "behind" if days < 0 else "ahead"
    return (
        f"the clock of a client is off: {off.sum()} of {len(rows)} answers are dated "
        f"{abs(days):.1f} days {direction} (median){sender_of(rows[off])}"
    )
