"""Whether labels say that a head has become worse: an anytime-valid test. Pure.

Each label is a bet against the claim that the head is wrong no more often than expected. The sum of
all bets that began at some earlier label grows on average by one per label while the claim holds.
So a call needs, on average, at least `threshold` labels when nothing is wrong, whenever somebody
looks (e-detectors: Shin, Ramdas and Rinaldo 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

TOLERANCE = 0.02
"""Added to the expected share of wrong answers: confidence is calibrated about as well."""
WORSE_BY = (0.05, 0.1, 0.2, 0.4)
"""The bets: how much more often the head may be wrong."""
LEAST_THRESHOLD = 100.0
ENDLESS = 1e100


@dataclass(frozen=True)
class LabelTest:
    """The result of all labels so far.

    `highest` is the largest sum of bets, `crossed` the number of labels at which it passed the
    threshold first, None where it never did; `wrong` is the share of labels that contradict.
    """

    labels: int
    wrong: float
    expected: float
    highest: float
    crossed: int | None


def bet_on_labels(
    wrong: Sequence[bool] | np.ndarray,
    *,
    expected: float,
    threshold: float,
    weights: Sequence[float] | np.ndarray | None = None,
) -> LabelTest:
    """Test labels in order of receipt.

    Parameters
    ----------
    wrong : (n,) whether each label contradicts the answer that was given
    expected : share of wrong answers that is normal
    weights : (n,) in (0, 1], how much each label counts: a low chance of being sampled, divided
        by its own; all 1 by default
    """
    mistakes = np.asarray(wrong, dtype=float)
    normal = _normal(expected)
    growth = _growth(mistakes, normal, weights)
    sums = np.zeros(len(WORSE_BY))
    highest = 0.0
    crossed = None
    for number, factors in enumerate(growth, start=1):
        sums = np.minimum((1 + sums) * factors, ENDLESS)
        highest = max(highest, float(sums.mean()))
        if crossed is None and highest >= threshold:
            crossed = number

    share = float(mistakes.mean()) if len(mistakes) else 0.0
    return LabelTest(len(mistakes), share, normal, highest, crossed)


def worst_stretch(
    wrong: Sequence[bool] | np.ndarray,
    *,
    expected: float,
    weights: Sequence[float] | np.ndarray | None = None,
) -> slice:
    """Return the stretch of labels on which a bet grows most: where the head is most likely worse.

    The labels (n,), at least one, are in the order of their answers: people label in any order. The
    start is the estimate of a change point by the cumulative sum (Page 1954; Hinkley 1971).
    """
    growth = _growth(np.asarray(wrong, dtype=float), _normal(expected), weights)
    sums = np.vstack([np.zeros(growth.shape[1]), np.cumsum(np.log(growth), axis=0)])
    lowest = np.minimum.accumulate(sums[:-1])
    last, bet = np.unravel_index(np.argmax(sums[1:] - lowest), growth.shape)
    start = int(sums[: last + 1, bet].argmin())
    return slice(start, int(last) + 1)


def _normal(expected: float) -> float:
    return float(np.clip(expected + TOLERANCE, 0.005, 0.9))


def _growth(
    mistakes: np.ndarray, normal: float, weights: Sequence[float] | np.ndarray | None
) -> np.ndarray:
    """Return by what each label multiplies each bet: (labels, bets)."""
    sizes = np.ones(len(mistakes)) if weights is None else np.asarray(weights, dtype=float)
    worse = np.minimum(normal + np.array(WORSE_BY), 0.99)
    stakes = (worse - normal) / (normal * (1 - normal))
    return 1 + np.outer(sizes * (mistakes - normal), stakes)


def threshold_for(*, labels_per_year: float, false_calls_per_year: float) -> float:
    """Return the threshold that keeps false calls within their budget."""
    return max(labels_per_year / max(false_calls_per_year, 1e-9), LEAST_THRESHOLD)
