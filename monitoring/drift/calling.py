"""What is done about a drift: retrain, ask for labels, or name a broken client. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from core.contracts import Verdict
from monitoring.drift.budget import ALARM
from monitoring.drift.moved import Labelled, labelled_share
from monitoring.windows.reports import DriftReport

CALLS = ("drift", "needs_labels", "broken_client")
HARMLESS = "harmless"
"""The kind of a call that a person closed without changing what is normal."""
ACCEPTED = "accepted"
"""The kind of a call that became normal."""
BROKEN = "broken_client"
GROWTH = 1.5
"""The same cause calls again when the z of one of its statistics has grown so many times."""


@dataclass(frozen=True)
class Called:
    """The newest call of an uninterrupted run of alarms: its kind, its window, and its z."""

    kind: str
    window: int
    z: Mapping[str, float]


def last_call(
    reports: Sequence[DriftReport], *, version: str, harmless: Collection[int] = ()
) -> Called | None:
    """Return the call that the newest windows still belong to; None after a calm window.

    A drift that another version called is not the same cause: the champion was fitted since. A
    broken client hides no earlier call: that drift continues after the client is repaired. A
    window that a person called harmless stands for the cause, whatever was called, by any version.
    """
    broken = None
    for report in reversed(reports):
        if not report.alarms:
            return broken

        z = {name: entry["z"] for name, entry in report.statistics.items()}
        if report.window_number in harmless:
            return Called(HARMLESS, report.window_number, z)
        if report.verdict in CALLS:
            answered = report.verdict == "drift" and report.version != version
            called = Called(report.verdict, report.window_number, z)
            if report.verdict != BROKEN:
                return broken if answered else called
            broken = broken or called
    return broken


def decide_call(
    moved: pd.DataFrame, *, labelled: Labelled, least_share: float, reasons: tuple[str, ...]
) -> Verdict:
    """Return "drift", or "needs_labels" where too few of the moved answers have labels.

    A retraining learns from labels alone: without them it makes the same head again.
    """
    share = labelled_share(moved, labelled)
    evidence = {"labelled_share": round(share, 4)}
    if share >= least_share:
        return Verdict("drift", reasons, evidence)
    lack = (
        f"{100 * share:.0f} % of the moved answers have labels, and a retraining needs "
        f"{100 * least_share:.0f} %"
    )
    return Verdict("needs_labels", (*reasons, lack), evidence)


def broken_client(reasons: tuple[str, ...]) -> Verdict:
    """Return the verdict on a window that is as before without its damaged phrases."""
    why = "without the damaged phrases the window is as before: repair the client"
    return Verdict(BROKEN, (*reasons, why))


def grown(called: Called | None, *, alarms: Sequence[str], z: Mapping[str, float]) -> bool:
    """Return True where an alarm was not called before, or its z has grown since."""
    if called is None:
        return bool(alarms)
    return any(z[name] > GROWTH * max(called.z.get(name, ALARM), ALARM) for name in alarms)


def without_repetition(
    verdict: Verdict, called: Called | None, *, alarms: Sequence[str], z: Mapping[str, float]
) -> Verdict:
    """Return a "warning" where the same cause was called before and has not grown."""
    same = called is not None and called.kind in (verdict.kind, HARMLESS)
    if called is None or not same or grown(called, alarms=alarms, z=z):
        return verdict
    again = f"{called.kind} was called at window {called.window}, and its cause has not grown"
    return Verdict("warning", (*verdict.reasons, again), verdict.evidence)
