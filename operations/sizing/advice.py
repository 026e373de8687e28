"""How large the caches and the service should be, told from what was asked. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from operations.sizing.hit_rates import hit_curve, hits_at, knee, reuse_distances, speed_up
from operations.sizing.requests_log import LoggedRequests

LEAST_TIMED = 20  # answers of a kind, hits or misses, before their cost is believed
BUSY = (
    0.6  # share of the time that a process should work at the peak: beyond it waiting grows steeply
)


@dataclass(frozen=True)
class Costs:
    """What the service spends on an answer, in milliseconds: one that was known, and one that was computed."""

    hit_ms: float
    miss_ms: float

    @property
    def relative(self) -> float:
        """The r of the speed-up."""
        return self.hit_ms / self.miss_ms


@dataclass(frozen=True)
class Level:
    """One cache level: hits of every size (`curve`), among `asked` lookups; the smallest size near enough to the best, and today's."""

    name: str
    asked: int
    curve: np.ndarray
    size: int
    size_now: int

    @property
    def largest(self) -> int:
        """From this size on more entries change nothing."""
        return len(self.curve) - 1

    def rate(self, size: int) -> float:
        """Hits as a share of the lookups at this level."""
        return hits_at(self.curve, size) / max(1, self.asked)


@dataclass(frozen=True)
class Advice:
    """Hit rates count both levels together, as `cached` in the answers does."""

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
        """Against a service without caches."""
        return speed_up(self.hit_rate, self.costs.relative) if self.costs else None

    @property
    def threads(self) -> int | None:
        """Misses in hand at the same moment at the peak, with room: arrivals a second times seconds each (Little's law)."""
        return (
            _at_least_one(self.peak * (1 - self.hit_rate) * self.costs.miss_ms / 1000 / BUSY)
            if self.costs
            else None
        )

    @property
    def workers(self) -> int | None:
        """Services that the peak keeps busy for at most BUSY of their time."""
        if self.costs is None:
            return None
        each = (1 - self.hit_rate) * self.costs.miss_ms + self.hit_rate * self.costs.hit_ms
        return _at_least_one(self.peak * each / 1000 / BUSY)


def advise(
    asked: LoggedRequests,
    *,
    costs: Costs | None,
    now: tuple[int, int],
    rate: float,
    peak: float,
    within: float,
) -> Advice:
    """Return the advice for a stream.

    Parameters
    ----------
    now : entries that the two levels may hold today, answers and embeddings
    rate, peak : requests a second
    within : how much hit rate a smaller cache may cost at each level, as a share of all answers
    """
    rows = len(asked.cleaned)
    first = reuse_distances(list(zip(asked.classifier, asked.version, asked.cleaned, strict=True)))
    curve = hit_curve(first)
    answers = Level("answers", rows, curve, knee(curve, rows=rows, within=within), now[0])
    behind = hit_curve(missed := behind_first(asked, first, size=answers.size))
    size = max(knee(behind, rows=rows, within=within), size_alone(asked, within=within))
    embeddings = Level("embeddings", len(missed), behind, size, now[1])
    today = hit_curve(behind_first(asked, first, size=now[0]))
    return Advice(
        rows=rows,
        answers=answers,
        embeddings=embeddings,
        hit_rate=_together(curve, answers.size, behind, size, rows),
        hit_rate_now=_together(curve, now[0], today, now[1], rows),
        costs=costs,
        rate=rate,
        peak=peak,
    )


def size_alone(asked: LoggedRequests, *, within: float) -> int:
    """The knee of the second level with nothing before it: a promotion empties the first level, and the embeddings go on."""
    return knee(hit_curve(reuse_distances(asked.cleaned)), rows=len(asked.cleaned), within=within)


def behind_first(asked: LoggedRequests, distances: np.ndarray, *, size: int) -> np.ndarray:
    """Reuse distances at the second level: it is asked only for what a first level of `size` missed, by cleaned phrase alone."""
    missed = (distances < 0) | (distances >= size)
    return reuse_distances([asked.cleaned[place] for place in np.flatnonzero(missed).tolist()])


def costs_of(asked: LoggedRequests) -> Costs | None:
    """Medians of the log's latencies; None when there are too few of a kind."""
    hits, misses = asked.latency_ms[asked.cached], asked.latency_ms[~asked.cached]
    if min(len(hits), len(misses)) < LEAST_TIMED or float(np.median(misses)) <= 0:
        return None
    return Costs(float(np.median(hits)), float(np.median(misses)))


def _together(first: np.ndarray, size: int, second: np.ndarray, behind: int, rows: int) -> float:
    return (hits_at(first, size) + hits_at(second, behind)) / max(1, rows)


def _at_least_one(value: float) -> int:
    return max(1, math.ceil(value))
