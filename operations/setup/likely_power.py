"""How soon a change would be called, if answers come as often as the rows did. Pure."""

from __future__ import annotations

from math import ceil

from monitoring.drift.power_reports import ENOUGH_ROWS

PAIR_CHANCE = 0.91
"""A pair of windows of ENOUGH_ROWS answers calls a change of a tenth (docs/drift-rule.md)."""
LONGEST_DAYS = 365


def likely_power(per_day: float | None, *, window_days: float) -> str:
    """Say how soon a change of a tenth of the traffic is called, and what to set for it."""
    if per_day is None:
        return (
            f"known once answers come: a window takes {ENOUGH_ROWS:,} of them for a change of a "
            "tenth"
        )
    days = ENOUGH_ROWS / per_day
    if days > LONGEST_DAYS:
        return (
            f"not called within a year at {per_day:.1f} answers a day, as many as rows came: send "
            "feedback, which calls changes too"
        )
    called = max(days, 1.0) * (1 + 1 / PAIR_CHANCE)
    sentence = (
        f"a change of a tenth is called after about {ceil(called)} days at {per_day:,.0f} answers "
        "a day, as many as rows came"
    )
    needed = ceil(days)
    if needed <= window_days:
        return sentence
    return f"{sentence}, with drift: {{window_days: {needed}}}"
