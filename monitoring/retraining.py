"""Whether a wish to retrain is granted now. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from core.contracts import Verdict

UNCONDITIONAL = frozenset({"scheduled", "manual"})


def decide_retraining(reason: str, *, last_retraining_at: datetime | None, now: datetime, cool_down_days: float) -> Verdict:
    """Return "retrain" or "wait".

    `reason` is "scheduled", "manual", or what asks for it ("drift: ..."); only the last kind waits for the cool-down,
    counted from the end of the last retraining, whatever its reason was.
    """
    kind = reason.partition(":")[0].strip()
    last = last_retraining_at and last_retraining_at.isoformat()
    evidence = {"reason": reason, "last_retraining_at": last, "cool_down_days": cool_down_days}
    if kind in UNCONDITIONAL:
        return Verdict("retrain", (f"a {kind} retraining never waits",), evidence)
    if last_retraining_at is None:
        return Verdict("retrain", ("no retraining before",), evidence)
    due = last_retraining_at + timedelta(days=cool_down_days)
    if now < due:
        told = f"the last retraining was at {last_retraining_at:%Y-%m-%d %H:%M}; the next for {kind} from {due:%Y-%m-%d %H:%M} on"
        return Verdict("wait", (told,), evidence)
    return Verdict("retrain", (f"the cool-down of {cool_down_days:g} days is over",), evidence)
