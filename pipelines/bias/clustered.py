"""Means and differences with intervals, of rows that repeat phrases.

Rows of one phrase are answered alike, so that they count together: the variance is that of the
phrases' sums (Liang and Zeger, 1986).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from pipelines.model.arrays import Bool, Float64, Int64


@dataclass(frozen=True)
class Estimate:
    """A value and the interval that holds it with the asked confidence."""

    value: float
    low: float
    high: float


def mean(values: Float64, phrases: Int64, *, doubt: float = 0.05) -> Estimate:
    """Return the mean of `values` (n,), clustered by `phrases` (n,), numbers of phrases."""
    value = float(values.mean())
    return _estimate(value, (values - value) / len(values), phrases, doubt=doubt)


def gap(values: Float64, inside: Bool, phrases: Int64, *, doubt: float = 0.05) -> Estimate:
    """Return the mean `inside` minus the mean of the other rows. Both parts have rows."""
    means = np.where(inside, values[inside].mean(), values[~inside].mean())
    sizes = np.where(inside, inside.sum(), -(~inside).sum())
    value = float(values[inside].mean() - values[~inside].mean())
    return _estimate(value, (values - means) / sizes, phrases, doubt=doubt, smaller=inside)


def ratio(
    shares: tuple[Bool, Bool], phrases: tuple[Int64, Int64], *, doubt: float = 0.05
) -> Estimate:
    """Return how many times as often the first marks are true as the second ones.

    Each part has marks and the phrases of its own rows. The interval is that of the logarithm; half
    a row is added to each count, so that a count of 0 has a finite ratio.
    """
    logarithm = 0.0
    variance = 0.0
    for sign, marks, clusters in zip((1, -1), shares, phrases, strict=True):
        share = (marks.sum() + 0.5) / (len(marks) + 1)
        logarithm += sign * np.log(share)
        variance += _variance((marks - marks.mean()) / (share * len(marks)), clusters)
    reach = float(ndtri(1 - doubt / 2)) * np.sqrt(variance)
    return Estimate(*(float(np.exp(logarithm + side * reach)) for side in (0, -1, 1)))


def _estimate(
    value: float, influence: Float64, phrases: Int64, *, doubt: float, smaller: Bool | None = None
) -> Estimate:
    """Return the interval by Student's t with the phrases of the smaller part as its freedom."""
    deciding = phrases if smaller is None else _smaller(phrases, smaller)
    freedom = max(len(np.unique(deciding)) - 1, 1)
    reach = float(stdtrit(freedom, 1 - doubt / 2)) * np.sqrt(_variance(influence, phrases))
    return Estimate(value, float(value - reach), float(value + reach))


def _smaller(phrases: Int64, inside: Bool) -> Int64:
    parts = (phrases[inside], phrases[~inside])
    smaller: Int64 = min(parts, key=lambda part: len(np.unique(part)))
    return smaller


def _variance(influence: Float64, phrases: Int64) -> float:
    _, clusters = np.unique(phrases, return_inverse=True)
    sums = np.bincount(clusters, influence)
    return float((sums**2).sum() * len(sums) / max(len(sums) - 1, 1))
