"""How often a cache of any size would hit, exactly, from the order in which its keys were asked for."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np


def reuse_distances(keys: Sequence[Hashable]) -> np.ndarray:
    """For each key, how many different other keys were asked for since its last time; -1 at its first. O(n log² n).

    A cache of `size` entries that forgets the least recently used hits exactly where the distance is at least 0 and below `size`.
    """
    last = _last_places(keys)
    again = last >= 0
    # Between a key's last time p and now, each different key has one first time: a place whose own last time lies at or before p.
    # Up to now there are count_earlier_below such places; all p + 1 places up to p are among them, and lie before.
    return np.where(again, _earlier_not_above(last) - (last + 1), -1)


def hit_curve(distances: np.ndarray) -> np.ndarray:
    """Hits of an LRU cache of 0, 1, 2, ... entries, up to the size from which on more entries change nothing."""
    known = distances[distances >= 0]
    return np.concatenate([[0], np.cumsum(np.bincount(known))]) if len(known) else np.zeros(1, int)


def hits_at(curve: np.ndarray, size: int) -> int:
    """Hits of a cache of `size` entries."""
    return int(curve[min(size, len(curve) - 1)])


def speed_up(hit_rate: float, relative_cost: float) -> float:
    """How many times less work a cache leaves: 1 / ((1 - h) + h r), r being the cost of a hit over that of a miss."""
    return 1.0 / ((1.0 - hit_rate) + hit_rate * relative_cost)


def knee(curve: np.ndarray, *, rows: int, within: float) -> int:
    """Return the smallest size whose hit rate is at most `within` (a difference of shares) below the best there is; at least 1."""
    return max(1, int(np.searchsorted(curve, curve[-1] - within * rows)))


def _last_places(keys: Sequence[Hashable]) -> np.ndarray:
    """Where each key was asked for the last time before; -1 when never."""
    seen: dict[Hashable, int] = {}
    places = np.empty(len(keys), np.int64)
    for place, key in enumerate(keys):
        places[place] = seen.get(key, -1)
        seen[key] = place
    return places


def _earlier_not_above(values: np.ndarray) -> np.ndarray:
    """For each place, how many places before it hold a value that is not greater. Merge sort's counting, a level at a time."""
    length, counts = len(values), np.zeros(len(values), np.int64)
    places, span = np.arange(length), int(values.max(initial=0)) + 2
    width = 1
    while width < length:
        pair, right = places // (2 * width), (places // width) % 2 == 1
        keyed = pair * span + values + 1
        left = np.sort(keyed[~right])
        counts[right] += np.searchsorted(left, keyed[right], side="right") - np.searchsorted(
            left, pair[right] * span, side="left"
        )
        width *= 2
    return counts
