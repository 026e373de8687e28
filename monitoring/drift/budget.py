"""How high a statistic must rise, so that false calls stay within a budget per year. Pure.

A drift is called when one statistic is high in two windows in a row. Of pairs of past windows the
tail is fitted, because a budget asks for chances far below one in the number of pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ALARM = 3.0  # standard deviations above the past: ordinary windows alarm in 1.8 % of cases
"""The least level: lower ones call little earlier, and every tenth window would be a warning."""
HIGHEST = 8.0
TAIL = 0.15
"""Share of the pairs that the tail is fitted to: of 400 pairs, 60."""
FUTURE = 1.15
"""How much farther calm pairs after the pool may reach than those within it.

Days in a row are more alike than days drawn at random. On 1,400 pairs each of 500, 1,300 and 2,000
answers it was 1.0 to 1.1 times at one pair in a hundred, and at most 1.3 at one in a thousand.
"""
LARGEST_SHAPE = 0.1
"""Limit of the shape of the tail. With 0.25, 60 pairs gave levels between 3.0 and 4.4 for histories
of the same traffic.
"""
FOR_WINDOWS = 0.75
"""Share of the budget for windows; the rest is for labels."""
DAYS_PER_YEAR = 365.0


@dataclass(frozen=True)
class Budget:
    """False calls of one classifier per year, over windows and labels."""

    per_year: float

    @classmethod
    def of(cls, *, max_false_alarms: float, classifiers: int) -> Budget:
        """Share the budget of all classifiers equally."""
        return cls(max_false_alarms / max(classifiers, 1))

    @property
    def for_labels(self) -> float:
        return self.per_year * (1 - FOR_WINDOWS)

    def chance(self, *, window_days: float) -> float:
        """Return the chance of a false call that each window may have."""
        windows = DAYS_PER_YEAR / max(window_days, 1.0)
        return min(FOR_WINDOWS * self.per_year / windows, 1.0)


def alarm_level(pairs: np.ndarray, *, chance: float) -> float:
    """Return the z above which a pair of calm windows lies with this chance, at least ALARM.

    `pairs` (n,) holds for each pair of past windows the largest z that a statistic had in both.
    """
    start = float(np.quantile(pairs, 1 - TAIL))
    if chance >= TAIL:
        return ALARM
    shape, scale = _fit_tail(np.sort(pairs[pairs > start] - start))
    ratio = np.log(chance / TAIL)
    rise = -scale * ratio if abs(shape) < 1e-6 else scale / shape * np.expm1(-shape * ratio)
    return float(np.clip(FUTURE * (start + rise), ALARM, HIGHEST))


def _fit_tail(excess: np.ndarray) -> tuple[float, float]:
    """Return shape and scale of a generalised Pareto distribution (Hosking and Wallis 1987).

    By probability-weighted moments. `excess` (n,) is in ascending order.
    """
    if len(excess) < 2:
        return 0.0, 0.0
    rank = (np.arange(1, len(excess) + 1) - 0.35) / len(excess)
    mean = float(excess.mean())
    weighted = float(((1 - rank) * excess).mean())
    shape = 2 - mean / max(mean - 2 * weighted, 1e-9)
    shape = float(np.clip(shape, -LARGEST_SHAPE, LARGEST_SHAPE))
    return shape, mean * (1 - shape)
