"""Which label each phrase of a world has on which day: ordinary ones, and those of an event."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from operations.simulation.events import Event


@dataclass(frozen=True, eq=False)
class Rulebook:
    """Arrays over the phrases of a world; labels are numbers into `labels`.

    Attributes
    ----------
    label : the ordinary label; `other` and `share` as in `Arrivals`
    changes : what each relabelling event sets: its number, the event, the new labels (-1: stays)
    season : labels that the season brings
    """

    labels: tuple[str, ...]
    label: np.ndarray
    other: np.ndarray
    share: np.ndarray
    changes: tuple[tuple[int, Event, np.ndarray], ...]
    season: np.ndarray

    def labels_on(self, day: int, phrases: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The labels of phrases on a day, and the event that changed each (-1: none)."""
        label = self.label[phrases].copy()
        changed_by = np.full(len(phrases), -1)
        for number, event, new in self.changes:
            if event.active(day):
                changed = new[phrases] >= 0
                label[changed] = new[phrases][changed]
                changed_by[changed] = number
        return label, changed_by


def fill_share(
    shares: np.ndarray, *, size: float, least: float, random: np.random.Generator
) -> list[int]:
    """Numbers in random order whose shares add up to about `size`."""
    chosen: list[int] = []
    total = 0.0
    for number in random.permutation(np.flatnonzero(shares >= least)).tolist():
        if total + shares[number] <= 1.1 * size:
            chosen.append(number)
            total += shares[number]
        if total >= 0.9 * size:
            break
    return chosen
