"""Accuracy and F1 of all answers from a sample of them, with 95 % intervals: pure.

Each sampled answer stands for the answers that were as likely to be drawn: the estimator of
Horvitz and Thompson (1952), as a ratio (Hajek 1971) because some labels never come. Where the
served probability predicts which answers are right, it takes over part of the work: prediction-
powered inference (Angelopoulos et al., Science 382, 2023) with the tuned share of PPI++
(arXiv:2311.01453), which is the difference estimator of survey sampling.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import inf, isfinite, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Z = 1.959964
"""Two-sided 95 %."""
NOTHING = 1e-12
"""Sums of floats are as near to 0 when they are 0."""
LEAST_POWERED = 30
"""Fewer sampled answers do not tell how well the served probability predicts."""


@dataclass(frozen=True)
class Estimate:
    """A share of all answers in [0, 1], with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Sample:
    """The answers of one group that a sample drew, and the group that they stand for.

    Attributes
    ----------
    right, answered : int (n,)
        Codes in [0, labels): the right label and the answer. -1 is no label at all.
    probability : float (n,)
        The served probability of each answer.
    drawn : float (n,)
        How likely each answer was to be drawn, in (0, 1].
    size : int
        All answers of the group, at least n.
    mean_probability : float
        The mean served probability of all answers of the group.
    """

    right: npt.NDArray[np.int64]
    answered: npt.NDArray[np.int64]
    probability: Numbers
    drawn: Numbers
    size: int
    mean_probability: float

    def __len__(self) -> int:
        return len(self.right)

    def only(self, chosen: Flags, *, size: int, mean_probability: float) -> Sample:
        """Return the sample of a part of the group."""
        return replace(
            self,
            right=self.right[chosen],
            answered=self.answered[chosen],
            probability=self.probability[chosen],
            drawn=self.drawn[chosen],
            size=size,
            mean_probability=mean_probability,
        )

    @cached_property
    def weights(self) -> Numbers:
        """How many answers each stands for: together all of the group, each at least itself."""
        plain = 1 / self.drawn
        if not len(plain):
            return plain
        whole = max(self.size, len(self))
        weights: Numbers = np.maximum(plain * (whole / plain.sum()), 1.0)
        return weights


def estimate_accuracy(sample: Sample) -> Estimate | None:
    """Return the share of right answers, None without a sampled answer."""
    is_right = (sample.right == sample.answered).astype(float)
    return _powered(is_right, sample)


def estimate_coverage(sample: Sample) -> Estimate | None:
    """Return the share of answers that have a right label at all, None without a sample."""
    return _estimate((sample.right >= 0).astype(float), sample.weights) if len(sample) else None


def estimate_recall(sample: Sample, label: int) -> Estimate | None:
    """Return the share of the answers with this right label that said so, None without any."""
    among = sample.right == label
    if not among.any():
        return None
    # Of how many answers this is the right label is not known: the weights are not scaled to it.
    is_right = (sample.answered[among] == label).astype(float)
    return _estimate(is_right, sample.weights[among])


def estimate_weighted_f1(sample: Sample) -> Estimate | None:
    """Return the F1 of the labels weighted by how often each is right, None without a sample.

    An answer without a right label counts as one of a label with F1 0.
    """
    if not len(sample):
        return None
    labels = int(max(sample.right.max(), sample.answered.max())) + 2  # the last: no label at all
    right = np.where(sample.right < 0, labels - 1, sample.right)
    value, influence = _f1(right, sample.answered, sample.weights, labels)
    return _interval(value, influence, sample.weights)


def estimate_f1(sample: Sample, label: int) -> Estimate | None:
    """Return the F1 of one label, None when the sample holds none of it."""
    weights = sample.weights
    is_right = sample.right == label
    is_answered = sample.answered == label
    total = (weights * is_right).sum() + (weights * is_answered).sum()
    if not total:
        return None
    value = float(2 * (weights * (is_right & is_answered)).sum() / total)
    # The ratio 2 A / (T + P), linearised, as a mean over the answers that it speaks of.
    pulls = 2.0 * (is_right & is_answered) - value * is_right - value * is_answered
    touched = is_right | is_answered
    concerned = weights[touched]
    return _interval(value, pulls[touched] * concerned.sum() / total, concerned)


def _powered(outcome: Numbers, sample: Sample) -> Estimate | None:
    """Estimate a mean of 0s and 1s that the served probability predicts."""
    if not len(sample):
        return None
    weights = sample.weights
    share = _tuned_share(outcome, sample.probability, weights)
    rest = outcome - share * sample.probability
    value = share * sample.mean_probability + float(np.average(rest, weights=weights))
    return _interval(value, rest - np.average(rest, weights=weights), weights, lost=1 + (share > 0))


def _tuned_share(outcome: Numbers, probability: Numbers, weights: Numbers) -> float:
    """Return the share of the prediction that leaves the least variance, in [0, 1]."""
    if len(outcome) < LEAST_POWERED:
        return 0.0
    centred = probability - np.average(probability, weights=weights)
    spread = float((weights * centred**2).sum())
    if spread <= 0:
        return 0.0
    return float(np.clip((weights * centred * outcome).sum() / spread, 0.0, 1.0))


def _estimate(outcome: Numbers, weights: Numbers) -> Estimate:
    value = float(np.average(outcome, weights=weights))
    return _interval(value, outcome - value, weights)


def _f1(
    right: npt.NDArray[np.int64],
    answered: npt.NDArray[np.int64],
    weights: Numbers,
    labels: int,
) -> tuple[float, Numbers]:
    """Return the weighted F1, and how much each answer moves it (Taylor linearisation)."""
    total = weights.sum()
    hits = right == answered
    true = np.bincount(right, weights, labels)
    predicted = np.bincount(answered, weights, labels)
    agreed = np.bincount(right[hits], weights[hits], labels)
    both = np.where(true + predicted > 0, true + predicted, 1.0)
    value = float((2 * true * agreed / both).sum() / total)
    by_true = 2 * agreed * predicted / both**2
    by_agreed = 2 * true / both
    by_predicted = -2 * true * agreed / both**2
    influence: Any = by_true[right] + by_predicted[answered] + np.where(hits, by_agreed[right], 0.0)
    return value, influence - value


def _interval(value: float, influence: Numbers, weights: Numbers, *, lost: int = 1) -> Estimate:
    """Return Wilson's interval for the number of answers that the variance is worth.

    The variance is the mean of two: by the design, and as if errors fell on all weights alike.
    The first alone covers 88 % of skewed samples of 100, the second overcovers where likely
    errors are drawn more often (tests/unit/test_estimates.py). `lost` are degrees of freedom.
    """
    value = min(max(value, 0.0), 1.0)
    unseen = np.maximum(1 - 1 / weights, 0.0) * (weights / weights.sum()) ** 2
    by_design = float((unseen * influence**2).sum())
    alike = float(np.average(influence**2, weights=weights) * unseen.sum())
    few = len(weights) / max(len(weights) - lost, 1)
    variance = few * (by_design + alike) / 2
    kish = float(unseen.sum())
    if variance > NOTHING and NOTHING < value < 1 - NOTHING:
        return _wilson(value, value * (1 - value) / variance)
    return _wilson(value, 1 / kish if kish > 0 else inf)


def _wilson(value: float, answers: float) -> Estimate:
    if not isfinite(answers):
        return Estimate(value, value, value)
    scale = 1 + Z**2 / answers
    centre = (value + Z**2 / (2 * answers)) / scale
    variance = value * (1 - value) / answers
    half = Z * sqrt(variance + (Z / (2 * answers)) ** 2) / scale
    low = max(0.0, centre - half)
    high = min(1.0, centre + half)
    return Estimate(value, min(value, low), max(value, high))
