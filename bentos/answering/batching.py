"""Phrases that the first level does not know: gathered, embedded and scored once, however many requests ask."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np

from bentos.answering.encoding import EncodedAnswer, encode_answer
from bentos.embedder.contract import Embedded, Embedder
from bentos.heads.loading import LiveModel
from bentos.lru import BATCH_PHRASES
from core.contracts import Prediction
from core.errors import EmbedderUnavailable, Overloaded

MAX_WAITING = 8192  # phrases: the embedder computes them in about 2 s, so that nobody admitted waits for longer
THREAD_FROM = 16  # phrases: from here on scoring them would hold the event loop for milliseconds

CacheKey = tuple[str, str, str]  # classifier, identity of the version, cleaned
CachedAnswer = tuple[
    EncodedAnswer, bool
]  # the answer; whether its embedding was in the embedder's cache


@dataclass(frozen=True, slots=True)
class _Wanted:
    live: LiveModel
    text: str
    promise: asyncio.Future[CachedAnswer]


class RequestBatcher:
    """One promise a (classifier, version, cleaned phrase). For one event loop.

    What is asked for in one turn of the event loop, by any request, goes to the embedder in one call; calls do not wait for one another.
    """

    def __init__(
        self, embedder: Embedder, *, keep: Callable[[CacheKey, EncodedAnswer], None]
    ) -> None:
        self._embedder, self._keep = embedder, keep
        self._promised: dict[CacheKey, asyncio.Future[CachedAnswer]] = {}
        self._gathered: list[_Wanted] = []
        self._calls: set[asyncio.Task[None]] = set()
        self._scorer = ThreadPoolExecutor(1, thread_name_prefix="score")

    def __len__(self) -> int:
        return len(self._promised)

    async def answer(self, wanted: Sequence[tuple[LiveModel, str]]) -> list[CachedAnswer]:
        """Answer versions and cleaned phrases in order. Raises `Overloaded` when too much waits already, `EmbedderUnavailable`."""
        if len(self._promised) + len(wanted) > MAX_WAITING:
            raise Overloaded(
                f"at most {MAX_WAITING} new phrases at once",
                came="more",
                do="try again in a second",
            )
        promises = [self._promise(live, text) for live, text in wanted]
        await asyncio.wait(
            promises
        )  # unlike gather, leaves the promises of others alone when this request is cancelled
        return [promise.result() for promise in promises]

    def _promise(self, live: LiveModel, text: str) -> asyncio.Future[CachedAnswer]:
        key = (live.model.classifier, live.model.identity, text)
        promise = self._promised.get(key)
        if promise is None:
            loop = asyncio.get_running_loop()
            promise = self._promised[key] = loop.create_future()
            if not self._gathered:
                loop.call_soon(self._send)
            self._gathered.append(_Wanted(live, text, promise))
        return promise

    def _send(self) -> None:
        gathered, self._gathered = self._gathered, []
        for start in range(0, len(gathered), BATCH_PHRASES):
            call = asyncio.create_task(self._call(gathered[start : start + BATCH_PHRASES]))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def _call(self, wanted: Sequence[_Wanted]) -> None:
        try:
            async with aclosing(self._embedder.embed([one.text for one in wanted])) as parts:
                async for part in parts:
                    await self._score([wanted[place] for place in part.places], part)
            self._break(
                wanted,
                EmbedderUnavailable(
                    "an embedding of every phrase", came="fewer", do="try again in a second"
                ),
            )
        except Exception as error:
            self._break(wanted, error)

    async def _score(self, wanted: Sequence[_Wanted], part: Embedded) -> None:
        by_version: dict[tuple[str, str], list[int]] = defaultdict(list)
        for place, one in enumerate(wanted):
            by_version[one.live.model.classifier, one.live.model.identity].append(place)
        for places in by_version.values():
            chosen, vectors = [wanted[place] for place in places], part.vectors[places]
            try:
                predictions = await self._predict(chosen, vectors)
            except Exception as error:
                self._break(
                    chosen, error
                )  # a head that fails costs its own phrases, not those beside them
                continue
            for one, prediction in zip(chosen, predictions, strict=True):
                self._settle(one, prediction, hit=part.hit)

    async def _predict(
        self, wanted: Sequence[_Wanted], vectors: np.ndarray
    ) -> Sequence[Prediction]:
        predict, texts = wanted[0].live.classifier.predict_cleaned, [one.text for one in wanted]
        if len(texts) < THREAD_FROM:
            return predict(texts, vectors)
        return await asyncio.get_running_loop().run_in_executor(
            self._scorer, predict, texts, vectors
        )

    def _settle(self, one: _Wanted, prediction: Prediction, *, hit: bool) -> None:
        key = (one.live.model.classifier, one.live.model.identity, one.text)
        said = encode_answer(one.live.model, one.text, prediction)
        self._keep(key, said)
        self._promised.pop(key).set_result((said, hit))

    def _break(self, wanted: Sequence[_Wanted], error: Exception) -> None:
        for one in wanted:
            if not one.promise.done():
                del self._promised[one.live.model.classifier, one.live.model.identity, one.text]
                one.promise.set_exception(error)
                one.promise.exception()  # seen: a request that was cancelled never asks for it
