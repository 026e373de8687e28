from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.embedder.cache import EmbeddingCache
from bentos.lru import LruCache
from tests.support.embedders import vector_of


def embed(cleaned: Sequence[str]) -> np.ndarray:
    return np.stack([vector_of(text) for text in cleaned])


def cache_of(embed=embed, maximum: int = 100) -> EmbeddingCache:
    return EmbeddingCache(embed, embedder_id="tiny", maximum=maximum)


async def vectors(cache: EmbeddingCache, cleaned: Sequence[str]) -> tuple[list[bytes], list[bool]]:
    """As the embedder's route does it."""
    known = cache.known(cleaned)
    missing = [text for text, vector in zip(cleaned, known, strict=True) if vector is None]
    computed = iter(await cache.compute(missing) if missing else [])
    hits = [vector is not None for vector in known]
    return [vector if vector is not None else next(computed) for vector in known], hits


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans())), st.integers(1, 4))
def test_lru_keeps_the_most_recently_used(steps: list[tuple[str, bool]], maximum: int) -> None:
    cache: LruCache[str, str] = LruCache(maximum)
    recent: list[str] = []
    for key, put in steps:
        if put:
            cache.put(key, key.upper())
        else:
            assert cache.get(key) == (key.upper() if key in recent else None)
        if put or key in recent:
            recent = [*(other for other in recent if other != key), key][-maximum:]
    assert len(cache) == len(recent)
    assert cache.counts.hits + cache.counts.misses == sum(not put for _, put in steps)


def test_lru_counts_evictions() -> None:
    cache: LruCache[int, int] = LruCache(2)
    for key in range(5):
        cache.put(key, key)
    cache.put(4, 4)
    assert (len(cache), cache.counts.evictions) == (2, 3)


def test_a_cached_embedding_equals_a_computed_one() -> None:
    async def twice() -> tuple[list[bytes], list[bool], list[bytes], list[bool]]:
        cache = cache_of()
        return *(await vectors(cache, ["a", "b", "a"])), *(await vectors(cache, ["b", "a", "c"]))

    first, first_hits, second, second_hits = asyncio.run(twice())
    assert first == [vector_of(text).tobytes() for text in ("a", "b", "a")]
    assert second == [vector_of(text).tobytes() for text in ("b", "a", "c")]
    assert (first_hits, second_hits) == ([False] * 3, [True, True, False])


def test_concurrent_misses_are_computed_once_and_gather_while_the_model_works() -> None:
    batches: list[list[str]] = []
    release = threading.Event()

    def slow(cleaned: Sequence[str]) -> np.ndarray:
        batches.append(list(cleaned))
        assert release.wait(10)
        return embed(cleaned)

    async def crowd() -> list[tuple[list[bytes], list[bool]]]:
        cache = cache_of(slow)
        first = asyncio.create_task(vectors(cache, ["a"]))
        while not batches:
            await asyncio.sleep(0)
        others = [
            asyncio.create_task(vectors(cache, texts)) for texts in (["a", "b"], ["b", "c"], ["c"])
        ]
        await asyncio.sleep(0)
        release.set()
        return await asyncio.gather(first, *others)

    answers = asyncio.run(crowd())
    assert batches == [["a"], ["b", "c"]]
    assert answers[2] == ([vector_of("b").tobytes(), vector_of("c").tobytes()], [False, False])


def test_hits_do_not_wait_for_a_batch() -> None:
    release = threading.Event()

    def slow(cleaned: Sequence[str]) -> np.ndarray:
        assert "stuck" not in cleaned or release.wait(10)
        return embed(cleaned)

    async def run() -> list[bool]:
        cache = cache_of(slow)
        await vectors(cache, ["a"])
        stuck = asyncio.create_task(vectors(cache, ["stuck"]))
        await asyncio.sleep(0)
        _, hits = await asyncio.wait_for(vectors(cache, ["a"]), 5)
        assert not stuck.done()
        release.set()
        await stuck
        return hits

    assert asyncio.run(run()) == [True]


def test_an_error_reaches_every_waiter_and_is_not_kept() -> None:
    failures = [ValueError("broken")]

    def once_broken(cleaned: Sequence[str]) -> np.ndarray:
        if failures:
            raise failures.pop()
        return embed(cleaned)

    async def run() -> tuple[list[object], list[bytes]]:
        cache = cache_of(once_broken)
        broken = await asyncio.gather(
            vectors(cache, ["a"]), vectors(cache, ["a"]), return_exceptions=True
        )
        return list(broken), (await vectors(cache, ["a"]))[0]

    broken, mended = asyncio.run(run())
    assert [type(error) for error in broken] == [ValueError, ValueError]
    assert mended == [vector_of("a").tobytes()]


def test_a_cancelled_request_leaves_the_promise_of_others() -> None:
    release = threading.Event()

    def slow(cleaned: Sequence[str]) -> np.ndarray:
        assert release.wait(10)
        return embed(cleaned)

    async def run() -> list[bytes]:
        cache = cache_of(slow)
        leaving, staying = (asyncio.create_task(vectors(cache, ["a"])) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        release.set()
        return (await staying)[0]

    assert asyncio.run(run()) == [vector_of("a").tobytes()]


def test_a_bomb_of_distinct_phrases_stays_within_the_limit() -> None:
    async def run() -> tuple[int, int]:
        cache = cache_of(maximum=50)
        await vectors(cache, [f"phrase {number}" for number in range(1000)])
        return len(cache), cache.computed

    assert asyncio.run(run()) == (50, 1000)


def test_what_is_computed_in_passing_leaves_the_cache_as_it_is() -> None:
    async def work() -> EmbeddingCache:
        cache = cache_of(maximum=2)
        await cache.compute(["hot", "warm"])
        order = cache.newest()
        counts = (cache.counts.hits, cache.counts.misses, cache.counts.evictions)
        passing = await cache.compute(["part", "other part"], keep=False)
        assert passing == [vector_of(text).tobytes() for text in ("part", "other part")]
        assert cache.peek(["hot", "part"]) == [vector_of("hot").tobytes(), None]
        assert cache.newest() == order
        assert (cache.counts.hits, cache.counts.misses, cache.counts.evictions) == counts
        return cache

    assert asyncio.run(work()).computed == 4


def test_a_phrase_that_a_predict_waits_for_too_is_kept() -> None:
    async def work() -> list[bytes | None]:
        cache = cache_of()
        await asyncio.gather(cache.compute(["both"], keep=False), cache.compute(["both"]))
        assert cache.computed == 1
        await cache.compute(["alone"], keep=False)
        return cache.peek(["both", "alone"])

    assert asyncio.run(work()) == [vector_of("both").tobytes(), None]
