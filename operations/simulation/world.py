"""What a simulation needs of a world: who asks what on each day, and every right label."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from operations.simulation.arrivals import Arrivals
from operations.simulation.events import Event

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""The beginning of day 0 of every simulation; a world dates its past back from it."""


class World(Protocol):
    """Equal arguments give equal worlds. Labels are numbers into `labels`."""

    seed: int
    calendar: tuple[Event, ...]

    @property
    def labels(self) -> Sequence[str]:
        """The names of all labels, those that an event brings included."""

    def day(self, day: int) -> Arrivals:
        """What arrives on a day of the simulation."""

    def judging(self, day: int) -> Arrivals:
        """Other rows of the same traffic, as many every day: what the day's answers are worth."""

    def history(self) -> list[Arrivals]:
        """The rows of each day before day 0, oldest first; their `truth` is what was recorded."""
