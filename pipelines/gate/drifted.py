"""What a retraining gains on the rows since a drift began, as clients get it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from pipelines.gate.sign_flips import gain_p_value, probability


@dataclass(frozen=True)
class UnlearntDrift:
    """A drift that was called since the champion's fit.

    `unanswered` while no gate has judged a candidate since the call.
    """

    began: datetime
    unanswered: bool


@dataclass(frozen=True)
class DriftRows:
    """Rows since the drift began that may judge, in any order; every array (n,).

    Attributes
    ----------
    truth, before, after : str
        The right label; the champion's answer with the memory of when the drift began, or, once a
        gate has answered the drift, with the candidate's; the candidate's answer with a memory that
        lacks the row itself.
    phrases : int, codes of the cleaned phrases
    repeated : bool
        The phrase has other rows, or is a test phrase. A row that the candidate alone learnt its
        phrase from would be right by heart: it counts as before.
    unanswered : no gate has judged a candidate since the drift was called
    """

    truth: np.ndarray
    phrases: np.ndarray
    before: np.ndarray
    after: np.ndarray
    repeated: np.ndarray
    unanswered: bool = True


def measure_drift(rows: DriftRows | None, *, seed: int) -> dict[str, Any]:
    """Return the gain in accuracy since the drift, with the chance of it; nothing without rows."""
    if rows is None or not len(rows.truth):
        return {}
    before = rows.before == rows.truth
    after = np.where(rows.repeated, rows.after == rows.truth, before)
    clusters = np.unique(rows.phrases, return_inverse=True)[1]
    differences = np.bincount(clusters, (after.astype(float) - before) / len(before))
    return {
        "drift_rows": len(before),
        "drift_accuracy_before": round(float(before.mean()), 5),
        "drift_accuracy_after": round(float(after.mean()), 5),
        "drift_gain": round(float(differences.sum()), 5),
        "drift_gain_p": round(gain_p_value(differences, seed=seed), 5),
        "drift_unanswered": rows.unanswered,
    }


def drift_gain(evidence: Mapping[str, Any]) -> str:
    """State the gain on the rows since the drift."""
    answered = not evidence.get("drift_unanswered", True)
    got = "with the champion and today's memory" if answered else "as clients got it"
    return (
        f"accuracy on the {evidence['drift_rows']:,} rows since the drift changes by "
        f"{100 * evidence['drift_gain']:+.1f} points, from {evidence['drift_accuracy_before']:.3f} "
        f"{got} to {evidence['drift_accuracy_after']:.3f}; "
        f"by chance with {probability(evidence['drift_gain_p'])}"
    )
