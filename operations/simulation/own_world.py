"""A world of one's own phrases: the newest rows of a snapshot, played again with events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from operations.simulation.arrivals import Arrivals
from operations.simulation.events import Event, break_phrases, replaced_rows
from operations.simulation.own_events import draw_own_events
from operations.simulation.phrasebook import Phrasebook
from pipelines.model.text import clean_phrase

JUDGING_ROWS = 4_000
"""Rows of the oracle's traffic that each day is judged on."""
_DAY = 86_400.0
_TRAFFIC = 11
_EVENTS = 12
_JUDGING = 14


@dataclass(frozen=True, eq=False)
class _Base:
    """Rows as they would be without events, and the chances that decide which event takes them."""

    row: np.ndarray
    second: np.ndarray
    coin: np.ndarray
    chance: np.ndarray
    state: tuple[int, ...]


class OwnWorld:
    """A `World`. Equal arguments give equal worlds.

    The past is the rows before the beginning. Each day draws from the rows after it, independently,
    so that without events every day is alike.
    """

    def __init__(
        self, book: Phrasebook, *, calendar: Iterable[Event], seed: int, answers_a_day: float
    ) -> None:
        self.seed = seed
        self.answers_a_day = answers_a_day
        self._book = book
        self._events = draw_own_events(book, calendar=calendar, seed=seed)
        self.calendar = self._events.calendar
        self.left_out = self._events.left_out
        newest = book.newest
        self._newest = newest[~self._events.held_out[book.phrase[newest]]]

    @property
    def labels(self) -> tuple[str, ...]:
        return self._events.rulebook.labels

    def day(self, day: int) -> Arrivals:
        state = (self.seed, _TRAFFIC, day)
        rows = int(np.random.default_rng((*state, 0)).poisson(self.answers_a_day))
        return self._apply(self._base(rows, state), day)

    def judging(self, day: int) -> Arrivals:
        return self._apply(self._judging_base, day)

    @cached_property
    def _judging_base(self) -> _Base:
        return self._base(JUDGING_ROWS, (self.seed, _JUDGING))

    def history(self) -> list[Arrivals]:
        book = self._book
        held = self._events.held_out
        past = np.flatnonzero((book.moment < 0) & ~held[book.phrase] & ~self._held_label())
        day = np.floor(book.moment[past] / _DAY).astype(int)
        first = int(day.min(initial=-1))
        ends = np.searchsorted(day, np.arange(first, 0), side="right")
        parts = np.split(past, ends[:-1])
        return [self._past_day(rows, first + place) for place, rows in enumerate(parts)]

    def _held_label(self) -> np.ndarray:
        """Rows that were recorded with a label of the topic: bool (n,)."""
        held = np.unique(self._book.label[self._events.held_out])
        return np.isin(self._book.recorded, held)

    def _past_day(self, rows: np.ndarray, day: int) -> Arrivals:
        book = self._book
        phrase = book.phrase[rows]
        return Arrivals(
            second=book.moment[rows] - day * _DAY,
            region=book.region[rows],
            phrase=book.phrases[phrase],
            cleaned=book.phrases[phrase],
            label=book.label[phrase],
            other=book.other[phrase],
            share=book.share[phrase],
            truth=book.recorded[rows],
            event=np.full(len(rows), -1),
        )

    def _base(self, rows: int, state: tuple[int, ...]) -> _Base:
        random = np.random.default_rng(state)
        chosen = self._newest[random.integers(len(self._newest), size=rows)]
        second = self._book.moment[chosen] % _DAY
        order = np.argsort(second, kind="stable")
        coin = random.random(rows)
        chance = random.random((rows, max(1, len(self.calendar))))
        return _Base(chosen[order], second[order], coin, chance, state)

    def _apply(self, base: _Base, day: int) -> Arrivals:
        book = self._book
        phrase = book.phrase[base.row]
        text = book.phrases[phrase]
        event = np.full(len(phrase), -1)
        for number, planned, chosen in replaced_rows(self.calendar, base.chance, day=day):
            self._replace(planned, number, base, chosen, phrase, text)
            event[chosen] = number
        label, changed_by = self._events.rulebook.labels_on(day, phrase)
        other = book.other[phrase]
        share = book.share[phrase]
        return Arrivals(
            second=base.second,
            region=book.region[base.row],
            phrase=text,
            cleaned=np.array([clean_phrase(written) for written in text.tolist()], dtype=object),
            label=label,
            other=other,
            share=share,
            truth=np.where((other < 0) | (base.coin < share), label, other),
            event=np.where(event < 0, changed_by, event),
        )

    def _replace(
        self,
        planned: Event,
        number: int,
        base: _Base,
        chosen: np.ndarray,
        phrase: np.ndarray,
        text: np.ndarray,
    ) -> None:
        """Draw for all rows of the base, so that a row is replaced alike on every day."""
        random = np.random.default_rng((*base.state, _EVENTS, number))
        chance = random.random(len(phrase))
        if planned.kind == "broken":
            text[chosen] = break_phrases(text[chosen], chance[chosen])
            return
        brought = self._events.strangers[number]
        place = (chance[chosen] * len(brought.phrases)).astype(int)
        phrase[chosen] = brought.phrases[place]
        named = brought.names
        text[chosen] = self._book.phrases[phrase[chosen]] if named is None else named[place]
