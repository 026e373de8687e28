"""Whether a wish to retrain is granted now. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from core.contracts import Verdict

COOLED = "drift"


def decide_retraining(
    reason: str, *, last_retraining_at: datetime | None, now: datetime, cool_down_days: float
) -> Verdict:
    """Return "retrain" or "wait".

    Only a retraining for drift ("drift" or "drift: ...") waits for the cool-down, counted from the last retraining whatever
    its reason was; a schedule or a person is never held up.
    """
    kind = reason.partition(":")[0].strip()
    last = last_retraining_at and last_retraining_at.isoformat()
    evidence = {"reason": reason, "last_retraining_at": last, "cool_down_days": cool_down_days}
    if kind != COOLED:
        return Verdict(
            "retrain", (f"only drift waits for the cool-down; this is for: {reason}",), evidence
        )
    if last_retraining_at is None:
        return Verdict("retrain", ("no retraining before",), evidence)
    due = last_retraining_at + timedelta(days=cool_down_days)
    if now < due:
        told = f"the last retraining was at {last_retraining_at:%Y-%m-%d %H:%M}; the next for {kind} from {due:%Y-%m-%d %H:%M} on"
        return Verdict("wait", (told,), evidence)
    return Verdict("retrain", (f"the cool-down of {cool_down_days:g} days is over",), evidence)
