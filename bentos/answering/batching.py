"""Computes misses of the first cache level: each phrase once, however many requests wait for it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

import numpy as np

from bentos.answering.encoding import EncodedAnswer, encode_answer
from bentos.embedder.contract import Embedded, EmbedderContract
from bentos.heads.loading import LiveModel
from bentos.heads.memories import LiveMemories
from bentos.heads.pins import LivePins
from bentos.lru import BATCH_PHRASES
from core.contracts import Prediction
from core.errors import EmbedderUnavailable, Overloaded
from pipelines.model.memory import AppliedMemory

MAX_WAITING = 8192  # phrases; the embedder computes them in about 2 s, the longest anybody waits
THREAD_FROM = 16  # phrases; scoring as many would hold the event loop for milliseconds

CacheKey = tuple[str, str, str]  # classifier, identity of the version, cleaned phrase
CachedAnswer = tuple[EncodedAnswer, bool]  # and whether the embedder's cache had its embedding


@dataclass(frozen=True, slots=True)
class _Miss:
    live: LiveModel
    text: str
    promise: asyncio.Future[CachedAnswer]

    @property
    def key(self) -> CacheKey:
        return (self.live.model.classifier, self.live.model.identity, self.text)


class RequestBatcher:
    """Keeps one promise per (classifier, version, cleaned phrase). For one event loop.

    The misses of one turn of the event loop, of all requests, go to the embedder in one call.
    Calls do not wait for one another. Without `pins`, versions answer for themselves.
    """

    def __init__(
        self,
        embedder: EmbedderContract,
        *,
        memories: LiveMemories,
        pins: LivePins | None = None,
        keep: Callable[[CacheKey, EncodedAnswer], None],
    ) -> None:
        self._embedder = embedder
        self._memories = memories
        self._pins = LivePins() if pins is None else pins  # those that answer now may be none
        self._keep = keep
        self._promised: dict[CacheKey, asyncio.Future[CachedAnswer]] = {}
        self._gathered: list[_Miss] = []
        self._calls: set[asyncio.Task[None]] = set()
        self._scorer = ThreadPoolExecutor(1, thread_name_prefix="score")

    def __len__(self) -> int:
        return len(self._promised)

    async def answer(self, phrases: Sequence[tuple[LiveModel, str]]) -> list[CachedAnswer]:
        """Answer cleaned phrases, each with its version, in order.

        Raises `Overloaded` when too many phrases wait already, `EmbedderUnavailable`.
        """
        if len(self._promised) + len(phrases) > MAX_WAITING:
            raise Overloaded(
                f"at most {MAX_WAITING} new phrases at once",
                came="more",
                do="try again in a second",
            )
        promises = [self._promise(live, text) for live, text in phrases]
        # Unlike gather, wait leaves the promises of others alone when this request is cancelled.
        await asyncio.wait(promises)
        return [promise.result() for promise in promises]

    def _promise(self, live: LiveModel, text: str) -> asyncio.Future[CachedAnswer]:
        key = (live.model.classifier, live.model.identity, text)
        promise = self._promised.get(key)
        if promise is None:
            loop = asyncio.get_running_loop()
            promise = self._promised[key] = loop.create_future()
            if not self._gathered:
                loop.call_soon(self._send)
            self._gathered.append(_Miss(live, text, promise))
        return promise

    def _send(self) -> None:
        gathered = self._gathered
        self._gathered = []
        for start in range(0, len(gathered), BATCH_PHRASES):
            call = asyncio.create_task(self._call(gathered[start : start + BATCH_PHRASES]))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def _call(self, misses: Sequence[_Miss]) -> None:
        try:
            async with aclosing(self._embedder.embed([miss.text for miss in misses])) as parts:
                async for part in parts:
                    await self._score([misses[place] for place in part.places], part)
            # Breaks only the promises that no part has settled.
            self._break(
                misses,
                EmbedderUnavailable(
                    "an embedding of every phrase", came="fewer", do="try again in a second"
                ),
            )
        except Exception as error:
            self._break(misses, error)

    async def _score(self, misses: Sequence[_Miss], part: Embedded) -> None:
        places_by_version: dict[tuple[str, str], list[int]] = defaultdict(list)
        for place, miss in enumerate(misses):
            model = miss.live.model
            places_by_version[model.classifier, model.identity].append(place)
        for places in places_by_version.values():
            same_version = [misses[place] for place in places]
            memory = self._memories.beside(same_version[0].live)
            try:
                predictions = await self._predict(same_version, part.vectors[places], memory)
            except Exception as error:
                # A head that fails costs its own phrases, not those beside them.
                self._break(same_version, error)
                continue
            for miss, prediction in zip(same_version, predictions, strict=True):
                self._settle(miss, prediction, memory, hit=part.hit)

    async def _predict(
        self, misses: Sequence[_Miss], vectors: np.ndarray, memory: AppliedMemory | None
    ) -> Sequence[Prediction]:
        predict = partial(misses[0].live.classifier.predict_cleaned, memory=memory)
        texts = [miss.text for miss in misses]
        if len(texts) < THREAD_FROM:
            return predict(texts, vectors)
        return await asyncio.get_running_loop().run_in_executor(
            self._scorer, predict, texts, vectors
        )

    def _settle(
        self, miss: _Miss, prediction: Prediction, memory: AppliedMemory | None, *, hit: bool
    ) -> None:
        key = miss.key
        revision = memory.memory.revision if memory is not None else None
        model = miss.live.model
        pin = self._pins.find(model.classifier, miss.text)
        answer = encode_answer(model, miss.text, prediction, revision=revision, pin=pin)
        # A revision that came while this was computed has evicted what it changes.
        if self._memories.beside(miss.live) is memory:
            self._keep(key, answer)
        self._promised.pop(key).set_result((answer, hit))

    def _break(self, misses: Sequence[_Miss], error: Exception) -> None:
        for miss in misses:
            if not miss.promise.done():
                del self._promised[miss.key]
                miss.promise.set_exception(error)
                miss.promise.exception()  # retrieved: a cancelled request never does
