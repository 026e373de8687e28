"""Hit rates of every cache size at once, held against caches that were really filled."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bentos.lru import LruCache
from operations.sizing.hit_rates import hit_curve, hits_at, knee, reuse_distances, speed_up

streams = st.lists(st.integers(0, 12), max_size=120)


def simulated(keys: Sequence[Hashable], size: int) -> list[bool]:
    """Which lookups hit in the cache of the service."""
    cache: LruCache[Hashable, int] = LruCache(size)
    hits = []
    for key in keys:
        hits.append(cache.get(key) is not None)
        if not hits[-1]:
            cache.put(key, 1)
    return hits


@given(streams)
def test_the_curve_is_what_a_cache_of_each_size_does(keys: list[int]) -> None:
    distances = reuse_distances(keys)
    curve = hit_curve(distances)
    for size in range(1, 16):
        hits = simulated(keys, size)
        assert ((distances >= 0) & (distances < size)).tolist() == hits
        assert hits_at(curve, size) == sum(hits)
    assert hits_at(curve, 0) == 0


def test_the_curve_holds_on_a_long_stream() -> None:
    keys = np.random.default_rng(5).zipf(1.2, 5000).tolist()
    curve = hit_curve(reuse_distances(keys))
    for size in (1, 7, 100, 1000, 10_000):
        assert hits_at(curve, size) == sum(simulated(keys, size))


@given(streams, st.floats(0, 1))
def test_the_knee_is_the_smallest_size_that_is_near_enough(keys: list[int], within: float) -> None:
    curve = hit_curve(reuse_distances(keys))
    size = knee(curve, rows=len(keys), within=within)
    wanted = curve[-1] - within * len(keys)
    assert hits_at(curve, size) >= wanted
    assert size == 1 or hits_at(curve, size - 1) < wanted


def test_a_cache_pays_by_how_often_it_hits_and_how_little_a_hit_costs() -> None:
    assert speed_up(0.0, 0.01) == 1.0
    assert round(speed_up(1.0, 0.05), 6) == 20.0
    assert round(speed_up(0.96, 0.01), 1) == 20.2
