"""What happens in a simulated year, when, and to how much of the traffic."""

from __future__ import annotations

from dataclasses import dataclass

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

    @property
    def shows_in_inputs(self) -> bool:
        return self.kind in REPLACING


def draw_calendar(*, seed: int, days: int, calm: bool = False) -> tuple[Event, ...]:
    """Return the events of a simulation of `days`, in order; a shorter one is a denser year.

    Parameters
    ----------
    calm : a year in which nothing happens
    """
    if calm:
        return ()
    return tuple(
        _event(kind, first, last, size=SIZES[(seed + place) % len(SIZES)], days=days)
        for place, (kind, first, last) in enumerate(_CALENDAR)
    )


def _event(kind: str, first: int, last: int | None, *, size: float, days: int) -> Event:
    start = round(first * days / YEAR)
    if kind == "broken":
        return Event(kind, start, start + BROKEN_DAYS, size)
    end = days if last is None else round(last * days / YEAR)
    return Event(kind, start, end, 0.0 if kind == "silence" else size)
