"""Advises sizes of the caches and of the service from logged requests. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from operations.sizing.hit_rates import hit_curve, hits_at, knee, reuse_distances, speed_up
from operations.sizing.requests_log import LoggedRequests

LEAST_TIMED = 20  # hits, and misses, that the log must contain before their costs are trusted
BUSY = 0.6  # busy share of a process at the peak; above it, waiting grows steeply


@dataclass(frozen=True)
class Costs:
    """Milliseconds that the service spends on a cached answer and on a computed one."""

    hit_ms: float
    miss_ms: float

    @property
    def relative(self) -> float:
        """The r of `speed_up`: cost of a hit over cost of a miss."""
        return self.hit_ms / self.miss_ms


@dataclass(frozen=True)
class Level:
    """One cache level: `curve[size]` hits among `lookups`, the advised size and today's size."""

    name: str
    lookups: int
    curve: np.ndarray
    size: int
    size_now: int

    @property
    def largest(self) -> int:
        """The smallest size that hits as often as any larger one."""
        return len(self.curve) - 1

    def rate(self, size: int) -> float:
        """Hits as a share of the lookups at this level."""
        return hits_at(self.curve, size) / max(1, self.lookups)


@dataclass(frozen=True)
class Advice:
    """Advised sizes and what they achieve.

    Hit rates count both levels together, as `cached` in the answers does. `rate` and `peak` are
    requests per second.
    """

    rows: int
    answers: Level
    embeddings: Level
    hit_rate: float
    hit_rate_now: float
    costs: Costs | None
    rate: float
    peak: float

    @property
    def speed_up(self) -> float | None:
        """Compared with a service without caches; None when the costs are unknown."""
        return speed_up(self.hit_rate, self.costs.relative) if self.costs else None

    @property
    def threads(self) -> int | None:
        """Concurrent misses at the peak, with headroom; None when the costs are unknown.

        Little's law: misses per second times seconds per miss.
        """
        if self.costs is None:
            return None
        misses_per_second = self.peak * (1 - self.hit_rate)
        return _at_least_one(misses_per_second * self.costs.miss_ms / 1000 / BUSY)

    @property
    def workers(self) -> int | None:
        """Services that the peak keeps busy for BUSY of the time; None when costs are unknown."""
        if self.costs is None:
            return None
        mean_ms = (1 - self.hit_rate) * self.costs.miss_ms + self.hit_rate * self.costs.hit_ms
        return _at_least_one(self.peak * mean_ms / 1000 / BUSY)


def advise_sizes(
    requests: LoggedRequests,
    *,
    costs: Costs | None,
    now: tuple[int, int],
    rate: float,
    peak: float,
    within: float,
) -> Advice:
    """Return the advice for a stream of requests.

    Parameters
    ----------
    now : today's sizes of the two levels, answers and embeddings
    rate, peak : requests per second
    within : hit rate that a smaller cache may cost at each level, as a share of all answers
    """
    rows = len(requests.cleaned)
    keys = zip(requests.classifier, requests.version, requests.cleaned, strict=True)
    distances = reuse_distances(list(keys))
    curve = hit_curve(distances)
    answers = Level("answers", rows, curve, knee(curve, rows=rows, within=within), now[0])

    missed = behind_first(requests, distances, size=answers.size)
    behind = hit_curve(missed)
    size = max(knee(behind, rows=rows, within=within), size_alone(requests, within=within))
    embeddings = Level("embeddings", len(missed), behind, size, now[1])

    behind_now = hit_curve(behind_first(requests, distances, size=now[0]))
    return Advice(
        rows=rows,
        answers=answers,
        embeddings=embeddings,
        hit_rate=_together(curve, answers.size, behind, size, rows),
        hit_rate_now=_together(curve, now[0], behind_now, now[1], rows),
        costs=costs,
        rate=rate,
        peak=peak,
    )


def size_alone(requests: LoggedRequests, *, within: float) -> int:
    """The knee of the second level with no first level.

    A promotion empties the first level, and from then on the second level sees every request.
    """
    curve = hit_curve(reuse_distances(requests.cleaned))
    return knee(curve, rows=len(requests.cleaned), within=within)


def behind_first(requests: LoggedRequests, distances: np.ndarray, *, size: int) -> np.ndarray:
    """Reuse distances at the second level, which sees only what a first level of `size` missed.

    Its keys are the cleaned phrases.
    """
    missed = (distances < 0) | (distances >= size)
    return reuse_distances([requests.cleaned[place] for place in np.flatnonzero(missed).tolist()])


def costs_of(requests: LoggedRequests) -> Costs | None:
    """Median latencies of hits and misses in the log; None when there are too few of either."""
    hits = requests.latency_ms[requests.cached]
    misses = requests.latency_ms[~requests.cached]
    if min(len(hits), len(misses)) < LEAST_TIMED or float(np.median(misses)) <= 0:
        return None
    return Costs(float(np.median(hits)), float(np.median(misses)))


def _together(first: np.ndarray, size: int, second: np.ndarray, behind: int, rows: int) -> float:
    return (hits_at(first, size) + hits_at(second, behind)) / max(1, rows)


def _at_least_one(value: float) -> int:
    return max(1, math.ceil(value))
