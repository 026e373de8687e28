"""Decides whether a classifier is retrained now. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from core.contracts import Verdict

DRIFT = "drift"  # the reason that waits for the cool-down
NO_VERDICT = "wait"
"""What the gate says when the champion changed during the retraining: it answers nothing."""


def decide_retraining(
    reason: str, *, last_retraining_at: datetime | None, now: datetime, cool_down_days: float
) -> Verdict:
    """Return "retrain" or "wait".

    Only a retraining for drift ("drift" or "drift: ...") waits for the cool-down. It is counted
    from the last retraining, whatever the reason of that one was. A schedule or a person never
    waits.
    """
    kind = reason.partition(":")[0].strip()
    last = last_retraining_at and last_retraining_at.isoformat()
    evidence = {"reason": reason, "last_retraining_at": last, "cool_down_days": cool_down_days}

    if kind != DRIFT:
        why = f"{reason}; only a retraining for drift waits for the cool-down"
        return Verdict("retrain", (why,), evidence)
    if last_retraining_at is None:
        return Verdict("retrain", ("this is the first retraining",), evidence)

    due = last_retraining_at + timedelta(days=cool_down_days)
    if now < due:
        why = (
            f"the last retraining was at {last_retraining_at:%Y-%m-%d %H:%M}; "
            f"the next one for {kind} is due at {due:%Y-%m-%d %H:%M}"
        )
        return Verdict("wait", (why,), evidence)

    length = "one day" if cool_down_days == 1 else f"{cool_down_days:g} days"
    return Verdict("retrain", (f"the cool-down of {length} is over",), evidence)


def drift_start(evidence: Mapping[str, Any]) -> datetime | None:
    """Return when the drift began that the evidence of a verdict names; None without one.

    Evidence of earlier releases has the windows of its watch alone: the drift began with the last
    uninterrupted row of alarms.
    """
    if evidence.get("began"):
        return datetime.fromisoformat(evidence["began"]).astimezone(UTC)
    began = None
    for window in evidence.get("windows", ()):
        if not window["alarms"]:
            began = None
        elif began is None:
            began = datetime.fromisoformat(window["start"])
    return began.astimezone(UTC) if began else None
