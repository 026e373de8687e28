"""Computes exactly how often a cache of any size would hit, from the order of its lookups."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np


def reuse_distances(keys: Sequence[Hashable]) -> np.ndarray:
    """For each lookup, count the different other keys since the last lookup of its key, else -1.

    An LRU cache of `size` entries hits exactly where the distance is at least 0 and below `size`.
    Takes O(n log² n).
    """
    last = _last_places(keys)
    again = last >= 0
    # Each different key between a key's last place p and now has one first place there: a place
    # whose own last place is at most p. `_earlier_not_above` counts such places up to now. All
    # p + 1 places up to p are among them, and lie before the interval.
    return np.where(again, _earlier_not_above(last) - (last + 1), -1)


def hit_curve(distances: np.ndarray) -> np.ndarray:
    """Hits of an LRU cache of 0, 1, 2, ... entries, up to the size beyond which nothing changes."""
    known = distances[distances >= 0]
    return np.concatenate([[0], np.cumsum(np.bincount(known))]) if len(known) else np.zeros(1, int)


def hits_at(curve: np.ndarray, size: int) -> int:
    """Hits of a cache of `size` entries."""
    return int(curve[min(size, len(curve) - 1)])


def speed_up(hit_rate: float, relative_cost: float) -> float:
    """How many times less work a cache leaves: 1 / ((1 - h) + h r).

    r is the cost of a hit over the cost of a miss.
    """
    return 1.0 / ((1.0 - hit_rate) + hit_rate * relative_cost)


def knee(curve: np.ndarray, *, rows: int, within: float) -> int:
    """Return the smallest size (at least 1) with a hit rate at most `within` below the best one."""
    return max(1, int(np.searchsorted(curve, curve[-1] - within * rows)))


def _last_places(keys: Sequence[Hashable]) -> np.ndarray:
    """Return the place of the previous lookup of each key; -1 when there is none."""
    seen: dict[Hashable, int] = {}
    places = np.empty(len(keys), np.int64)
    for place, key in enumerate(keys):
        places[place] = seen.get(key, -1)
        seen[key] = place
    return places


def _earlier_not_above(values: np.ndarray) -> np.ndarray:
    """For each place, count the earlier places with a value that is not greater.

    Counts as merge sort does, one level of the sort at a time.
    """
    counts = np.zeros(len(values), np.int64)
    places = np.arange(len(values))
    span = int(values.max(initial=0)) + 2
    width = 1
    while width < len(values):
        pair = places // (2 * width)
        right = (places // width) % 2 == 1
        keyed = pair * span + values + 1
        left = np.sort(keyed[~right])
        not_above = np.searchsorted(left, keyed[right], side="right")
        of_earlier_pairs = np.searchsorted(left, pair[right] * span, side="left")
        counts[right] += not_above - of_earlier_pairs
        width *= 2
    return counts
