"""Live traffic: the arrivals continue after the five years, with or without drift."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count, islice

from pipelines.source.arrivals import Day, draw_day
from pipelines.source.drift import load_drift
from pipelines.source.icd import PHASES
from pipelines.source.practice import CLERKS, DAYS, EPOCH, REGIONS, Scale, load_practice


@dataclass(frozen=True, slots=True)
class Arrival:
    """A phrase as it arrives, with the labels that a careful coder would give it."""

    occurred_at: datetime
    phrase: str
    region: str
    labels: dict[str, str]


@dataclass(frozen=True)
class SimulatedTraffic:
    """The arrivals from EPOCH on: about 2,000 rows in 10 days at the default scale.

    The seed draws the arrivals. With `drift`, a share of them differs for good, in the same way for
    every seed.
    """

    scale: Scale
    seed: int
    drift: bool = False

    def play(self, start: datetime, rows: int) -> Iterator[Arrival]:
        """Yield the first `rows` arrivals from `start` on, in order of time.

        `start` has a zone and is not before EPOCH. A day depends on seed and day alone: a call with
        the last moment continues where an earlier call ended.
        """
        days = self._from((start - EPOCH).days)
        arrivals = (arrival for arrival in days if arrival.occurred_at >= start)
        return islice(arrivals, rows)

    def _from(self, first_day: int) -> Iterator[Arrival]:
        practice = load_practice(self.scale)
        drift = load_drift(self.scale) if self.drift else None
        for number in count(first_day):
            day = draw_day(practice, seed=self.seed, day=DAYS + number, drift=drift)
            yield from self._arrivals(day, EPOCH + timedelta(days=number))

    def _arrivals(self, day: Day, midnight: datetime) -> Iterator[Arrival]:
        catalogue = load_practice(self.scale).catalogue
        rows = zip(
            day.second.tolist(),
            day.phrase,
            day.clerk.tolist(),
            day.right.tolist(),
            day.term.tolist(),
            strict=True,
        )
        for second, phrase, clerk, right, term in rows:
            code = catalogue.codes[right]
            labels = {
                "chapter": code.chapter,
                "block": code.block,
                "encounter_phase": PHASES[catalogue.phase[term]],
            }
            yield Arrival(
                occurred_at=midnight + timedelta(seconds=second),
                phrase=phrase,
                region=REGIONS[CLERKS[clerk].region],
                labels=labels,
            )
