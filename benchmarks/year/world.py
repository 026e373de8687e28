"""The oracle: the demo's practice over a year of events, with every right label known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from benchmarks.year.rules import LabelKind, label_numbers, write_rulebook
from operations.simulation.arrivals import Arrivals
from operations.simulation.events import Event, break_phrases, replaced_rows
from operations.simulation.rulebook import Rulebook
from pipelines.model.text import clean_phrase
from pipelines.source.arrivals import Day, draw_day, write_phrases
from pipelines.source.drift import load_drift
from pipelines.source.practice import CLERKS, DAYS, REGIONS, Practice, Scale, load_practice

HISTORY_SEED = 7
"""The past is one: seeds draw the year."""
HISTORY_DAYS = 1095
JUDGING_ROWS = {"small": 4_000, "default": 12_000, "large": 12_000}
"""Rows of the oracle's traffic that each day is judged on."""
_JUDGING_SEED = 1_000_003
_BASE = 11
_EVENTS = 12
_REGION_NAMES = np.array(REGIONS, dtype=object)


@dataclass(frozen=True, eq=False)
class Base:
    """Rows as they would be without events, and the chances that decide which event takes them."""

    second: np.ndarray
    clerk: np.ndarray
    term: np.ndarray
    phrase: np.ndarray
    chance: np.ndarray
    coin: np.ndarray
    random_state: tuple[int, ...]


class PracticeWorld:
    """Equal arguments give equal worlds. Labels are numbers into `labels`."""

    def __init__(
        self,
        *,
        scale: Scale,
        seed: int,
        calendar: tuple[Event, ...] = (),
        kind: LabelKind = "block",
    ) -> None:
        self.kind = kind
        self.scale = scale
        self.seed = seed
        self.calendar = calendar
        self.practice: Practice = load_practice(scale)
        self._cleaned: dict[str, str] = {}

    @cached_property
    def rulebook(self) -> Rulebook:
        """Which terms have which labels, before and after each event."""
        past = np.concatenate([drawn.term for drawn in past_days(self.scale)])
        return write_rulebook(
            self.practice, past, kind=self.kind, calendar=self.calendar, seed=self.seed
        )

    @property
    def labels(self) -> tuple[str, ...]:
        return self.rulebook.labels

    def day(self, day: int) -> Arrivals:
        """What arrives on a day of the simulation, 0 being the demo's now."""
        return self._apply(self._base(self.seed, day), day)

    def judging(self, day: int) -> Arrivals:
        """Other rows of the same traffic, as many every day: what the day's answers are worth."""
        return self._apply(self._judging_base, day)

    def history(self) -> list[Arrivals]:
        """The rows of the HISTORY_DAYS before day 0; their `truth` is what was recorded.

        As in the demo's source, a fiftieth of it is wrong.
        """
        drawn = past_days(self.scale)
        return [self._past_day(day - HISTORY_DAYS, rows) for day, rows in enumerate(drawn)]

    def _past_day(self, day: int, drawn: Day) -> Arrivals:
        random = np.random.default_rng((HISTORY_SEED, _BASE, DAYS + day))
        base = _base_of(drawn, random, state=(HISTORY_SEED, _BASE, DAYS + day), events=0)
        arrivals = self._apply(base, day)
        wrong = drawn.recorded != drawn.right
        arrivals.truth[wrong] = label_numbers(self.practice, self.kind)[1][drawn.recorded[wrong]]
        return arrivals

    def _base(self, seed: int, day: int) -> Base:
        drawn = draw_day(self.practice, seed=seed, day=DAYS + day)
        state = (seed, _BASE, DAYS + day)
        random = np.random.default_rng(state)
        return _base_of(drawn, random, state=state, events=len(self.calendar))

    @cached_property
    def _judging_base(self) -> Base:
        wanted = JUDGING_ROWS[self.scale]
        days: list[Base] = []
        while sum(len(base.term) for base in days) < wanted:
            days.append(self._base(self.seed + _JUDGING_SEED, len(days)))
        columns = {
            name: np.concatenate([getattr(base, name) for base in days])[:wanted]
            for name in ("second", "clerk", "term", "phrase", "chance", "coin")
        }
        return Base(**columns, random_state=(self.seed + _JUDGING_SEED, _BASE, 0))

    def _apply(self, base: Base, day: int) -> Arrivals:
        term = base.term.copy()
        phrase = base.phrase.copy()
        event = np.full(len(term), -1)
        for number, planned, chosen in replaced_rows(self.calendar, base.chance, day=day):
            self._replace(planned, number, base, chosen, term, phrase)
            event[chosen] = number
        label, changed_by = self.rulebook.labels_on(day, term)
        event = np.where(event < 0, changed_by, event)
        other = self.rulebook.other[term]
        share = self.rulebook.share[term]
        truth = np.where((other < 0) | (base.coin < share), label, other)
        cleaned = np.array([self._clean(text) for text in phrase], dtype=object)
        region = _REGION_NAMES[[CLERKS[desk].region for desk in base.clerk.tolist()]]
        return Arrivals(base.second, region, phrase, cleaned, label, other, share, truth, event)

    def _replace(
        self,
        planned: Event,
        number: int,
        base: Base,
        chosen: np.ndarray,
        term: np.ndarray,
        phrase: np.ndarray,
    ) -> None:
        """Draw for all rows of the base, so that a row is replaced alike on every day."""
        random = np.random.default_rng((*base.random_state, _EVENTS, number))
        chance = random.random(len(term))
        kinds = random.random(len(term))

        if planned.kind == "broken":
            phrase[chosen] = break_phrases(phrase[chosen], kinds[chosen])
            return

        new_terms, names = self._strangers(planned.kind, chance, kinds)
        term[chosen] = new_terms[chosen]
        if names is not None:
            phrase[chosen] = names[chosen]
        elif chosen.any():
            clerk = base.clerk[chosen]
            phrase[chosen] = write_phrases(self.practice, term[chosen], clerk, random)

    def _strangers(
        self, kind: str, chance: np.ndarray, within: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None]:
        drift = load_drift(self.scale)
        if kind == "names":
            place = np.searchsorted(drift.local_ladder, chance, side="right")
            return drift.local_terms[place], np.array(drift.local_names, dtype=object)[place]
        if kind == "topic":
            return drift.new_terms[np.searchsorted(drift.new_ladder, chance, side="right")], None
        blocks = self.rulebook.season[(chance * len(self.rulebook.season)).astype(int)]
        ladder = self.practice.ladder
        return self.practice.terms[np.searchsorted(ladder, blocks + within, side="right")], None

    def _clean(self, phrase: str) -> str:
        if phrase not in self._cleaned:
            self._cleaned[phrase] = clean_phrase(phrase)
        return self._cleaned[phrase]


@cache
def past_days(scale: Scale) -> list[Day]:
    """The HISTORY_DAYS before day 0, oldest first."""
    practice = load_practice(scale)
    days = range(DAYS - HISTORY_DAYS, DAYS)
    return [draw_day(practice, seed=HISTORY_SEED, day=day) for day in days]


def _base_of(
    drawn: Day, random: np.random.Generator, *, state: tuple[int, ...], events: int
) -> Base:
    rows = len(drawn.term)
    return Base(
        second=drawn.second,
        clerk=drawn.clerk,
        term=drawn.term,
        phrase=np.array(list(drawn.phrase), dtype=object),
        coin=random.random(rows),
        chance=random.random((rows, events)),
        random_state=state,
    )
