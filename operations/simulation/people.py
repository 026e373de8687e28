"""The people beside the loop: a budget of labels a week, given late, some of them wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from operations.simulation.arrivals import Arrivals
from operations.simulation.events import Event
from operations.simulation.world import EPOCH

LABELS_A_WEEK = 40
"""By default."""
LATEST_DAYS = 14.0
WRONG = 0.03
NOTICED = 0.5
"""Chance that somebody notices a wrong answer, as long as the week's budget lasts."""
AUTHORS = 5
_PEOPLE = 21


@dataclass(frozen=True, slots=True)
class PersonLabel:
    """A label on its way; `correct` is what only the oracle knows."""

    received_at: datetime
    request_id: str
    cleaned: str
    label: str
    author: str
    kind: str
    probability: float | None
    correct: bool


class People:
    """Half of the budget corrects wrong answers, half labels a random sample of the answers."""

    def __init__(
        self,
        *,
        seed: int,
        labels: Sequence[str],
        calendar: Sequence[Event],
        answers_a_week: float,
        labels_a_week: int = LABELS_A_WEEK,
    ) -> None:
        self._seed = seed
        self._labels = labels
        self._silences = [event for event in calendar if event.kind == "silence"]
        self._chance = min(1.0, labels_a_week / 2 / answers_a_week)
        self._corrections_a_week = labels_a_week // 2
        self._corrected_in_week: dict[int, int] = {}

    def look(
        self, day: int, arrivals: Arrivals, ids: Sequence[str], answers: Sequence[str]
    ) -> list[PersonLabel]:
        """Return the labels that people will give to answers of one day."""
        if not len(arrivals) or self._silent(day):
            return []

        random = np.random.default_rng((self._seed, _PEOPLE, day))
        chance = random.random((4, len(arrivals)))
        authors = random.integers(AUTHORS, size=len(arrivals))
        others = arrivals.truth[random.integers(len(arrivals), size=len(arrivals))]
        given = []

        for row in range(len(arrivals)):
            right = self._labels[arrivals.truth[row]]
            sampled = chance[0, row] < self._chance
            noticed = answers[row] != right and chance[1, row] < NOTICED
            if not sampled and not (noticed and self._take_budget(day)):
                continue

            correct = chance[2, row] >= WRONG or others[row] == arrivals.truth[row]
            moment = self._moment(day, float(arrivals.second[row]), float(chance[3, row]))
            if not self._silent((moment - EPOCH).days):
                label = right if correct else self._labels[others[row]]
                author = f"coder-{authors[row] + 1}"
                kind = "sample" if sampled else "correction"
                probability = self._chance if sampled else None
                cleaned = str(arrivals.cleaned[row])
                given.append(
                    PersonLabel(
                        moment, ids[row], cleaned, label, author, kind, probability, bool(correct)
                    )
                )
        return given

    def _silent(self, day: int) -> bool:
        return any(event.active(day) for event in self._silences)

    def _take_budget(self, day: int) -> bool:
        week = day // 7
        used = self._corrected_in_week.get(week, 0)
        if used >= self._corrections_a_week:
            return False
        self._corrected_in_week[week] = used + 1
        return True

    @staticmethod
    def _moment(day: int, second: float, chance: float) -> datetime:
        return EPOCH + timedelta(days=day + LATEST_DAYS * chance, seconds=second)
