"""What happens in a simulated year, when, and to how much of the traffic."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.source.noise import LETTERS

SIZES = (0.02, 0.05, 0.10, 0.20)
"""Shares of the traffic; the seeds deal them, so that any four in a row give every event each."""
REPLACING = ("names", "season", "topic", "broken")
"""Events that show in the inputs: they bring other phrases."""
RELABELLING = ("rule", "split")
"""Events that show in the labels alone: the phrases stay."""
YEAR = 365
_CALENDAR = (
    ("rule", 30, None),
    ("names", 72, None),
    ("season", 114, 154),
    ("topic", 176, None),
    ("split", 222, None),
    ("broken", 266, 269),
    ("silence", 290, 320),
)
"""Kind, first day and last day (exclusive) of a year; without a last day the change is for good."""
BROKEN_DAYS = 3
_CUT = 9
"""Characters that a broken client leaves of a phrase."""
WON_BACK = 0.8
"""Share of an event's loss that a policy is to win back."""


@dataclass(frozen=True)
class Event:
    """`first` and `last` are days of the simulation, `last` exclusive; `size` is a share."""

    kind: str
    first: int
    last: int
    size: float

    def active(self, day: int) -> bool:
        return self.first <= day < self.last


KINDS = tuple(kind for kind, _, _ in _CALENDAR)


def draw_calendar(*, seed: int, days: int, kinds: Collection[str] = KINDS) -> tuple[Event, ...]:
    """Return the events of a simulation of `days`, in order; a shorter one is a denser year.

    Parameters
    ----------
    kinds : which events happen; none is a calm year
    """
    return tuple(
        _event(kind, first, last, size=SIZES[(seed + place) % len(SIZES)], days=days)
        for place, (kind, first, last) in enumerate(_CALENDAR)
        if kind in kinds
    )


def _event(kind: str, first: int, last: int | None, *, size: float, days: int) -> Event:
    start = round(first * days / YEAR)
    if kind == "broken":
        return Event(kind, start, start + BROKEN_DAYS, size)
    end = days if last is None else round(last * days / YEAR)
    return Event(kind, start, end, 0.0 if kind == "silence" else size)


def replaced_rows(
    calendar: Sequence[Event], chance: np.ndarray, *, day: int
) -> Iterator[tuple[int, Event, np.ndarray]]:
    """Yield number, event and the rows it replaces, bool (n,), of each that is active on a day.

    Strangers take shares that do not overlap; a broken client breaks any row.

    Parameters
    ----------
    chance : (n, events), uniform in [0, 1): decides which event takes a row, the same on every day
    """
    start = 0.0
    for number, event in enumerate(calendar):
        if event.kind not in REPLACING:
            continue
        is_broken = event.kind == "broken"
        first = 0.0 if is_broken else start
        start += 0.0 if is_broken else event.size
        if event.active(day):
            own = chance[:, number if is_broken else 0]
            yield number, event, (own >= first) & (own < first + event.size)


def break_phrases(phrases: np.ndarray, chance: np.ndarray) -> list[str]:
    """Half of the rows of a broken client are cut, the other half come in a wrong encoding."""
    return [_break(phrase, kind) for phrase, kind in zip(phrases, chance, strict=True)]


def _break(phrase: str, kind: float) -> str:
    if kind < 0.5:
        return phrase[:_CUT]
    vowels = {letter: "\u00c3" + chr(0xA1 + place) for place, letter in enumerate(LETTERS)}
    return "".join(vowels[letter] if letter in "aeiou" else letter for letter in phrase.lower())
