"""Whether a schedule of params.yaml is due, at the nightly look of a simulated day."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

from cronsim import CronSim

LOOKED_EVERY = timedelta(days=1)


@lru_cache(maxsize=4096)
def fell_due(cron: str, *, now: datetime) -> bool:
    """Return whether the schedule fell due since the look of the day before.

    A schedule of several times a day counts as one of once a day.
    """
    plain = cron.upper().replace("?", "*")
    return bool(next(CronSim(plain, now - LOOKED_EVERY)) <= now)
