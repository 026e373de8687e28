"""Whether drift can be judged with the reference rows of a version, before it answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pandas as pd

from core.contracts import Verdict
from core.params.drift import DriftParams
from monitoring.drift.rule import lack_of_rows
from monitoring.windows.baseline import JOIN_FROM, since_drift
from monitoring.windows.cutting import window_size

ANSWERING_KINDS = ("promote", "hold")


def drift_outlook(
    reference: pd.DataFrame, *, drift: DriftParams, began: datetime | None
) -> str | None:
    """Return why drift cannot be judged yet with these rows, and the cure; None when it can.

    Parameters
    ----------
    reference : the reference rows of the version (`scoring.read_reference`)
    began : when the drift began that the version learnt, None for none; earlier rows do not count
    """
    rows = since_drift(reference, began)
    count = float(rows["weight"].sum())
    days = pd.to_datetime(rows["occurred_at"], utc=True).dt.floor("D").nunique()
    size = window_size(count, window_rows=drift.window_rows)
    lack = lack_of_rows(count, days=days, size=size)
    if lack is None:
        return None
    return (
        f"drift cannot be judged yet: {lack}; raise test_days, or wait for {JOIN_FROM} windows "
        "of answers, which then become what is normal"
    )


def with_outlook(verdict: Verdict, outlook: str | None) -> Verdict:
    """Add the outlook to the verdict of a candidate that answers, or may answer."""
    if outlook is None or verdict.kind not in ANSWERING_KINDS:
        return verdict
    evidence = {**verdict.evidence, "drift_outlook": outlook}
    return replace(verdict, reasons=(*verdict.reasons, outlook), evidence=evidence)
