from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import numpy as np
import pytest

from bentos.answering import batching
from bentos.answering.answers import PhraseRequest
from bentos.embedder.contract import Embedded
from core.errors import EmbedderUnavailable, Overloaded
from tests.support.embedders import vector_of
from tests.support.request_paths import Bench


class HeldEmbedder:
    """Gives its hits at once and holds everything else until it is released."""

    def __init__(self, *hits: str) -> None:
        self.hits = set(hits)
        self.calls: list[list[str]] = []
        self.released = asyncio.Event()
        self.error: Exception | None = None

    async def embed(
        self, cleaned: Sequence[str], *, keep: bool = True
    ) -> AsyncGenerator[Embedded, None]:
        self.calls.append(list(cleaned))
        for hit in (True, False):
            places = [place for place, text in enumerate(cleaned) if (text in self.hits) == hit]
            if not hit and places:
                await self.released.wait()
            if self.error:
                raise self.error
            if places:
                yield Embedded(
                    places, np.stack([vector_of(cleaned[place]) for place in places]), hit
                )


def held(bench: Bench, *hits: str) -> HeldEmbedder:
    embedder = HeldEmbedder(*hits)
    bench.answers.batcher._embedder = embedder
    return embedder


def start(bench: Bench, *phrases: str, classifier: str = "organ") -> asyncio.Task[list[bytes]]:
    return asyncio.create_task(
        bench.answers.answer(classifier, [PhraseRequest(phrase) for phrase in phrases])
    )


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_requests_that_miss_one_phrase_share_one_computation(bench: Bench) -> None:
    async def crowd() -> tuple[list[list[str]], int]:
        embedder = held(bench)
        tasks = [start(bench, "a"), start(bench, "A "), start(bench, "a", "b")]
        await turns()
        tasks.append(start(bench, "a"))
        await turns()
        embedder.released.set()
        return embedder.calls, len({len(answers) for answers in await asyncio.gather(*tasks)})

    calls, _ = asyncio.run(crowd())
    assert calls == [["a", "b"]], "one call for one turn of the event loop, and every phrase once"
    assert len(bench.logged()) == 5


def test_hits_wait_neither_for_other_requests_nor_for_the_rest_of_their_call(bench: Bench) -> None:
    async def run() -> list[bool]:
        embedder = held(bench, "in the second level")
        stuck = start(bench, "new")
        second = start(bench, "in the second level")
        await asyncio.wait_for(second, 5)
        first = start(bench, "in the second level")
        await asyncio.wait_for(first, 5)
        waited = [stuck.done(), len(embedder.calls) > 1]
        embedder.released.set()
        await stuck
        return waited

    assert asyncio.run(run()) == [False, False]


def test_two_classifiers_that_miss_one_phrase_ask_the_embedder_in_one_call(bench: Bench) -> None:
    bench.heads.refresh(lambda: {})
    bench.promote("side", "2")

    async def run() -> list[list[str]]:
        embedder = held(bench)
        embedder.released.set()
        await asyncio.gather(start(bench, "a"), start(bench, "a", classifier="side"))
        return embedder.calls

    assert asyncio.run(run()) == [["a", "a"]]
    assert {row["classifier"] for row in bench.logged()} == {"organ", "side"}


def test_an_error_reaches_everybody_and_is_not_kept(bench: Bench) -> None:
    async def run() -> tuple[list[type], int, int]:
        embedder = held(bench)
        embedder.error = EmbedderUnavailable("an answer", came="none", do="wait")
        embedder.released.set()
        broken = await asyncio.gather(
            start(bench, "a"), start(bench, "a", "b"), return_exceptions=True
        )
        embedder.error = None
        return (
            [type(error) for error in broken],
            len(bench.answers.batcher),
            len(await start(bench, "a")),
        )

    assert asyncio.run(run()) == ([EmbedderUnavailable, EmbedderUnavailable], 0, 1)


def test_a_cancelled_request_leaves_the_others_their_answer(bench: Bench) -> None:
    async def run() -> int:
        embedder = held(bench)
        leaving = start(bench, "a")
        staying = start(bench, "a")
        await turns()
        leaving.cancel()
        await turns()
        embedder.released.set()
        return len(await staying)

    assert asyncio.run(run()) == 1


def test_more_new_phrases_than_can_be_answered_in_time_are_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "MAX_WAITING", 3)

    async def run() -> int:
        embedder = held(bench, "known")
        waiting = start(bench, "a", "b", "c")
        await turns()
        with pytest.raises(Overloaded):
            await start(bench, "d")
        embedder.released.set()
        await waiting
        return len(await start(bench, "a", "b", "d"))

    assert asyncio.run(run()) == 3
