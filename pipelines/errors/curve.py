"""The learning curve: a power law through a few refits, and the gain that more rows would bring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.model.arrays import Bool, Float64

REPLICATES = 1000
EXPONENTS = np.linspace(0.05, 2.0, 40)
LEAST_POINTS = 3
FLOOR = 0.5
"""How far the floor of a resample may be from 0, as a share of the smallest error, where the refits
do not say. It may be negative: a floor of nothing would cut the interval off where errors fall as a
pure power law or faster, as on the demo."""
LEAST_HELD = 30
"""With fewer held-out phrases, a share has a standard error of .07 or more."""
INTERVAL = (2.5, 97.5)
"""Percentiles: 95 % of the replicates lie between."""


@dataclass(frozen=True)
class Refit:
    """A head fitted on a part of the training phrases.

    Attributes
    ----------
    phrases : how many distinct phrases it was fitted on
    wrong : bool (held,), which held-out phrases it answers wrong
    """

    phrases: int
    wrong: Bool


@dataclass(frozen=True)
class PowerLaws:
    """Curves `floor + scale * (phrases / unit) ** -exponent`, one per replicate: float (r,) each.

    The first one is that of all held-out phrases; the others are of resampled ones.
    """

    floor: Float64
    scale: Float64
    exponent: Float64
    unit: float

    def at(self, phrases: float) -> Float64:
        """Return the share of new phrases answered wrong after so many phrases: float (r,)."""
        ratio = max(phrases, 1.0) / self.unit
        wrong: Float64 = self.floor + self.scale * ratio**-self.exponent
        return wrong


def fit_power_laws(refits: Sequence[Refit], *, seed: int) -> PowerLaws:
    """Fit one curve to the refits, and one to each resample.

    Phrases are the units of the resamples (Poisson bootstrap). Each resample also rests on a random
    number of the largest refits, at least two: real curves bend, and a curve through all of them
    would seem more certain than it is.
    """
    generator = np.random.default_rng(seed)
    wrong = np.stack([refit.wrong for refit in refits], axis=1).astype(float)
    counts = generator.poisson(1.0, (REPLICATES, len(wrong))).astype(float)
    counts[0] = 1.0
    errors = counts @ wrong / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)

    # Relative deviations count: the curve is read at its low end.
    least = 1.0 / len(wrong)
    first = generator.integers(0, len(refits) - 1, REPLICATES)
    first[0] = 0
    used = np.arange(len(refits)) >= first[:, None]
    weights = used / np.maximum(wrong.mean(axis=0), least) ** 2
    sizes = np.array([refit.phrases for refit in refits], float)
    # Two refits leave the floor open: it is drawn, and the law goes through what is above it.
    open_floor = used.sum(axis=1) == 2
    drawn = generator.uniform(-FLOOR, FLOOR, REPLICATES) * errors[:, -1] * open_floor
    allowed = np.where(open_floor, 0.0, FLOOR * errors[:, -1])
    allowed[0] = 0.0
    laws = _least_squares(sizes, errors - drawn[:, None], weights, lowest=-allowed)
    return replace(laws, floor=laws.floor + drawn)


def _least_squares(
    sizes: Float64, errors: Float64, weights: Float64, *, lowest: Float64
) -> PowerLaws:
    """Try every exponent: floor, at least `lowest`, and scale, at least 0, are then linear."""
    unit = float(sizes.max())
    best = np.full(len(errors), np.inf)
    fitted = np.zeros((3, len(errors)))
    for exponent in EXPONENTS:
        powers = (sizes / unit) ** -exponent
        for floor, scale in _candidates(powers, errors, weights):
            misses = errors - floor[:, None] - scale[:, None] * powers
            loss = (weights * misses**2).sum(axis=1)
            better = (loss < best) & (floor >= lowest) & (scale >= 0)
            best[better] = loss[better]
            fitted[0, better] = floor[better]
            fitted[1, better] = scale[better]
            fitted[2, better] = exponent
    return PowerLaws(fitted[0], fitted[1], fitted[2], unit)


def _candidates(
    powers: Float64, errors: Float64, weights: Float64
) -> list[tuple[Float64, Float64]]:
    """Return (floor, scale) of the weighted regression, without a floor, and without a slope."""
    total = weights.sum(axis=1)
    mean_power = weights @ powers / total
    mean_error = (weights * errors).sum(axis=1) / total
    squares = weights @ powers**2
    products = (weights * errors) @ powers
    spread = squares - total * mean_power**2
    slope = (products - total * mean_power * mean_error) / np.maximum(spread, 1e-300)
    none = np.zeros(len(errors))
    return [
        (mean_error - slope * mean_power, slope),
        (none, products / squares),
        (mean_error, none),
    ]


def growth_exponent(rows: Float64) -> float:
    """Return h: with k times the rows, there are k ** h times the distinct phrases.

    `rows` counts the rows of each phrase, (m,). It is the slope between half of the rows, drawn at
    random, and all of them: a phrase with c rows is in that half with probability 1 - 2 ** -c.
    """
    kept = float((1.0 - 0.5**rows).sum())
    return float(np.log2(len(rows) / kept)) if kept > 0 else 1.0


@dataclass(frozen=True)
class TrafficMix:
    """What the answers consist of.

    Attributes
    ----------
    phrases : distinct training phrases now
    growth : the exponent of `growth_exponent`
    new : share of the test rows whose phrase was never trained on
    """

    phrases: int
    growth: float
    new: float


@dataclass(frozen=True)
class Gain:
    """What `factor` times the rows would bring, as shares; each with its 95 % interval.

    `accuracy` is that of new phrases then, `new` its gain, `answers` the gain of all answers.
    """

    factor: float
    accuracy: tuple[float, float, float]
    new: tuple[float, float, float]
    answers: tuple[float, float, float]


def gain_of(laws: PowerLaws, traffic: TrafficMix, *, factor: float, known_wrong: float) -> Gain:
    """Return the gain from `factor` times the rows of the same period.

    Of all answers, two things change: new phrases are answered better, and fewer phrases are new.
    `known_wrong` is the share of the rows of known phrases that are answered wrong.
    """
    now = np.clip(laws.at(traffic.phrases), 0, 1)
    then = np.clip(laws.at(traffic.phrases * factor**traffic.growth), 0, 1)
    fewer = traffic.new * factor ** (traffic.growth - 1.0)
    answers = traffic.new * (now - known_wrong) - fewer * (then - known_wrong)
    return Gain(factor, _interval(1 - then), _interval(now - then), _interval(answers))


def _interval(values: Float64) -> tuple[float, float, float]:
    """Return the estimate, the first value, and the interval of the others around it."""
    estimate = float(values[0])
    low, high = np.percentile(values, INTERVAL).tolist()
    return round(estimate, 6), round(min(low, estimate), 6), round(max(high, estimate), 6)
