"""Shares with the bounds that rows of the same phrase allow."""

from __future__ import annotations

import numpy as np
from scipy.stats import beta

from pipelines.model.arrays import AnyArray, Bool, Float64, Int64

LEVEL = 0.95
NORMAL = 1.959964
"""Two-sided 95 % of a normal distribution."""


def lower_bound(successes: AnyArray, trials: AnyArray) -> Float64:
    """Return the one-sided 95 % bounds of Clopper and Pearson, (n,)."""
    wins = np.asarray(successes, float)
    losses = np.asarray(trials, float) - wins
    bounds = beta.ppf(1 - LEVEL, np.maximum(wins, 0.5), losses + 1)
    proved: Float64 = np.where(wins > 0, bounds, 0.0)
    return proved


def share_of_rows(right: Bool, phrases: Int64) -> dict[str, float]:
    """Return `precision`, `precision_low` and `precision_high` of rows, with 95 %.

    Wilson's interval of as many rows as the clusters are worth: rows of one phrase are right or
    wrong together. `phrases` (n,) numbers the phrase of each row. Without rows: 0 to 1.
    """
    if not len(right):
        return {"precision": 1.0, "precision_low": 0.0, "precision_high": 1.0}
    share = float(right.mean())
    _, cluster = np.unique(phrases, return_inverse=True)
    residual = np.bincount(cluster, right - share)
    variance = float((residual**2).sum()) / len(right) ** 2
    rows = float(len(right))
    if variance > 0:
        rows = min(rows, share * (1 - share) / variance)
    else:
        rows = float(len(np.unique(cluster)))
    low, high = _wilson(share, rows)
    return {
        "precision": round(share, 5),
        "precision_low": round(low, 5),
        "precision_high": round(high, 5),
    }


def _wilson(share: float, rows: float) -> tuple[float, float]:
    square = NORMAL**2 / rows
    middle = share + square / 2
    reach = NORMAL * np.sqrt(share * (1 - share) / rows + square / (4 * rows))
    return float((middle - reach) / (1 + square)), float((middle + reach) / (1 + square))
