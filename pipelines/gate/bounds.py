"""Bounds of a gain that few phrases of very different weight decide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import gamma

CONFIDENCE = 0.95
TRUSTED_PHRASES = 25
"""So many lost phrases count half as evidence that losses fall on heavy phrases too. Chosen on the
demo's phrases (`benchmarks.gate`): the bound's error was 6.1 % for 30 discordant phrases and 3.5 %
for 60 of which a fifth were won; with 20 the latter was 2.9 %, with 40 the former passed 7 %, and
without this term it was 10 to 17 %.
"""


@dataclass(frozen=True)
class Gain:
    """A gain and the one-sided 95 % bound below it."""

    estimate: float
    lower: float


def bound_gain(differences: np.ndarray, shares: np.ndarray) -> Gain:
    """Bound the sum of independent phrases' differences from below.

    Parameters
    ----------
    differences : float (phrases,)
        What each phrase adds to the gain; 0 where both versions agree.
    shares : float (phrases,)
        The phrase's share of the weight.

    The lost and the won phrases are weighted sums of Poisson counts, each with a gamma bound (Fay
    and Feuer 1997). The upper bound of the losses adds one phrase of mean weight for those that
    were not drawn (Tiwari, Clegg and Zou 2006). Both meet in one bound of their difference by the
    square-root rule (MOVER: Zou and Donner 2008). Losses are taken to fall on heavy and light
    phrases alike: their variance is not below that of as many phrases of average squared weight, in
    so far as there are enough of them to say so (`TRUSTED_PHRASES`). Error rate: at most 7 %.
    """
    losses = -differences[differences < 0]
    wins = differences[differences > 0]
    lost = float(losses.sum())
    won = float(wins.sum())
    mean = float(shares.mean())
    trust = len(losses) / (len(losses) + TRUSTED_PHRASES)
    alike = trust * len(losses) * float((shares**2).mean())
    variance = max(float((losses**2).sum()), alike) + mean**2
    most_lost = _quantile(CONFIDENCE, lost + mean, variance)
    least_won = _quantile(1 - CONFIDENCE, won, float((wins**2).sum()))
    slack = float(np.hypot(most_lost - lost, won - least_won))
    return Gain(won - lost, won - lost - slack)


def _quantile(level: float, mean: float, variance: float) -> float:
    """Of the gamma distribution with this mean and variance; 0 for a sum of nothing."""
    if mean <= 0 or variance <= 0:
        return 0.0
    return float(gamma.ppf(level, mean**2 / variance, scale=variance / mean))


def effective_phrases(shares: np.ndarray) -> float:
    """1 / sum p^2: how many phrases of equal weight would say as much."""
    total = float((shares**2).sum())
    return 1 / total if total else 0.0
