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
LABEL_TEST = "label_test"
"""The evidence of a drift that labels called, and no other, has this key."""


@dataclass(frozen=True)
class LabelTest:
    """The result of all labels so far.

    `highest` is the largest sum of bets, `crossed` the number of labels at which it passed the
    threshold first, None where it never did; `since` is the number of the label from which the head
    is most likely worse, None without a call. `wrong` is the share of labels that contradict.
    """

    labels: int
    wrong: float
    expected: float
    highest: float
    crossed: int | None
    since: int | None


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
    sizes = np.ones(len(mistakes)) if weights is None else np.asarray(weights, dtype=float)
    normal = float(np.clip(expected + TOLERANCE, 0.005, 0.9))
    worse = np.minimum(normal + np.array(WORSE_BY), 0.99)
    stakes = (worse - normal) / (normal * (1 - normal))

    growth = 1 + np.outer(sizes * (mistakes - normal), stakes)
    sums = np.zeros(len(WORSE_BY))
    highest = 0.0
    crossed = None
    for number, factors in enumerate(growth, start=1):
        sums = np.minimum((1 + sums) * factors, ENDLESS)
        highest = max(highest, float(sums.mean()))
        if crossed is None and highest >= threshold:
            crossed = number

    share = float(mistakes.mean()) if len(mistakes) else 0.0
    since = _most_likely_start(growth[:crossed]) if crossed else None
    return LabelTest(len(mistakes), share, normal, highest, crossed, since)


def _most_likely_start(growth: np.ndarray) -> int:
    """Return the number of the label whose bet has grown most: `growth` (labels, bets).

    That is the estimate of a change point by the cumulative sum (Page 1954; Hinkley 1971).
    """
    grown = np.cumsum(np.log(growth)[::-1], axis=0)[::-1]
    return int(grown.max(axis=1).argmax()) + 1


def threshold_for(*, labels_per_year: float, false_calls_per_year: float) -> float:
    """Return the threshold that keeps false calls within their budget."""
    return max(labels_per_year / max(false_calls_per_year, 1e-9), LEAST_THRESHOLD)
