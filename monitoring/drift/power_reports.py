"""How soon a change would be called, per classifier, as its newest watch measured it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.tables.loop import decision
from monitoring.drift.budget import ALARM
from monitoring.windows.cutting import POOL_WINDOWS

ENOUGH_ROWS = 1_300
"""Answers per window: of pairs of such windows nine in ten call a tenth (docs/drift-rule.md)."""


def read_powers(connection: Connection) -> dict[str, str]:
    """Return one sentence per classifier that has judged a window, from its newest decision."""
    table = decision.c
    power = table.evidence["power"]
    newest = (
        sa.select(table.classifier, power.label("power"))
        .distinct(table.classifier)
        .where(table.subject == "drift", sa.func.jsonb_typeof(power) == "object")
        .order_by(table.classifier, table.id.desc())
    )
    return {row.classifier: describe_power(row.power) for row in connection.execute(newest)}


def describe_power(power: Mapping[str, Any]) -> str:
    """Say how soon a tenth of the traffic is called, or what to set when it never is."""
    rows = power["window_rows"]
    days = power["window_days"]
    windows = f"windows of {rows:,} answers, {days:.1f} days each, alarm at z {power['alarm']:.1f}"
    windows += _price_of_the_budget(power)
    if power["days"] is not None:
        return (
            f"a change of a tenth is called after {power['days']:.0f} days on average ({windows})"
        )
    enough = max(ENOUGH_ROWS, 2 * rows)
    needed = days * enough / max(rows, 1)
    larger = (
        f"a change of a tenth is not called ({windows}): set drift.window_days to {needed:.0f} "
        f"and drift.window_rows to {enough:,} or more"
    )
    if power.get("pool_rows", POOL_WINDOWS * enough) >= POOL_WINDOWS * enough:
        return larger
    return f"{larger}, and test_days to {POOL_WINDOWS * needed:.0f}: a past of six such windows"


def _price_of_the_budget(power: Mapping[str, Any]) -> str:
    """Say how soon it would be without a budget of false alarms, where that differs."""
    unlimited = power.get("unlimited_days")
    if unlimited is None or unlimited == power["days"]:
        return ""
    return f"; at z {ALARM:.1f}, with more false alarms, after {unlimited:.0f} days"
