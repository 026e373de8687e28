"""Live traffic: the same arrivals go on after the five years, with or without drift, each with its right labels."""

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
class Traffic:
    """What arrives from EPOCH on; about 2,000 rows in 10 days at the default scale.

    The seed draws the arrivals. With `drift` a share of them differs for good: traffics of different seeds drift alike.
    """

    scale: Scale
    seed: int
    drift: bool = False

    def play(self, start: datetime, rows: int) -> Iterator[Arrival]:
        """Yield the first `rows` arrivals from `start` (aware, at or after EPOCH) on, in order of time.

        A day's arrivals depend on seed and day alone: playing on from the last moment continues where an earlier play ended.
        """
        return islice(
            (
                arrival
                for arrival in self._from((start - EPOCH).days)
                if arrival.occurred_at >= start
            ),
            rows,
        )

    def _from(self, first_day: int) -> Iterator[Arrival]:
        practice = load_practice(self.scale)
        drift = load_drift(self.scale) if self.drift else None
        for day in count(first_day):
            yield from self._arrivals(
                draw_day(practice, seed=self.seed, day=DAYS + day, drift=drift),
                EPOCH + timedelta(days=day),
            )

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
                midnight + timedelta(seconds=second), phrase, REGIONS[CLERKS[clerk].region], labels
            )
