"""Caches embeddings by cleaned phrase; each is computed once, however many requests wait for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from bentos.lru import BATCH_PHRASES, CacheCounts, LruCache

EMBEDDING_BYTES = 400  # of a cache entry beyond its text and value: key and objects


def _entry_bytes(key: tuple[str, str], vector: bytes) -> int:
    return EMBEDDING_BYTES + len(key[1]) + len(vector)


class EmbeddingCache:
    """Embeddings by (embedder_id, cleaned phrase), as float32 bytes. For one event loop.

    While the model works on one batch, further misses gather for the next, so that batching costs
    no waiting time. A phrase that several requests miss at once is computed once. Hits never wait.
    """

    def __init__(
        self, embed: Callable[[Sequence[str]], np.ndarray], *, embedder_id: str, maximum: int
    ) -> None:
        self.computed = 0
        self._embed = embed
        self._embedder_id = embedder_id
        self._kept: LruCache[tuple[str, str], bytes] = LruCache(maximum, size=_entry_bytes)
        self._promised: dict[str, asyncio.Future[bytes]] = {}
        self._wanted: set[str] = set()  # of the promised ones, those that enter the cache
        self._queue: deque[str] = deque()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="embed")
        self._draining: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def counts(self) -> CacheCounts:
        return self._kept.counts

    @property
    def weight(self) -> int:
        """Approximate bytes."""
        return self._kept.weight

    def known(self, cleaned: Sequence[str]) -> list[bytes | None]:
        """Look each phrase up; never waits."""
        return [self._kept.get((self._embedder_id, text)) for text in cleaned]

    def peek(self, cleaned: Sequence[str]) -> list[bytes | None]:
        """Look each phrase up without a trace: neither counts nor refreshes."""
        return [self._kept.peek((self._embedder_id, text)) for text in cleaned]

    async def compute(self, cleaned: Sequence[str], *, keep: bool = True) -> list[bytes]:
        """Return one embedding per phrase, in order. Raises what the model raises.

        Without `keep`, they do not enter the cache, unless somebody else waits for them who does.
        """
        promises = [self._promise(text, keep=keep) for text in cleaned]
        # Unlike gather, wait leaves the promises of others alone when this request is cancelled.
        await asyncio.wait(promises)
        return [promise.result() for promise in promises]

    def newest(self) -> list[tuple[str, bytes]]:
        """Return every phrase with its embedding, the most recently used first."""
        return [(text, vector) for (_, text), vector in self._kept.newest()]

    def restore(self, entries: Sequence[tuple[str, bytes]]) -> None:
        """Put in the entries that `newest` returned."""
        for text, vector in reversed(entries):
            self._kept.put((self._embedder_id, text), vector)

    def _promise(self, text: str, *, keep: bool) -> asyncio.Future[bytes]:
        if keep:
            self._wanted.add(text)
        if text not in self._promised:
            self._promised[text] = asyncio.get_running_loop().create_future()
            self._queue.append(text)
            if self._draining is None or self._draining.done():
                self._draining = asyncio.create_task(self._drain())
        return self._promised[text]

    async def _drain(self) -> None:
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(BATCH_PHRASES, len(self._queue)))]
            try:
                vectors = await asyncio.get_running_loop().run_in_executor(
                    self._worker, self._embed, batch
                )
            except Exception as error:
                self._break(batch, error)
            else:
                self._keep(batch, vectors)

    def _keep(self, batch: Sequence[str], vectors: np.ndarray) -> None:
        self.computed += len(batch)
        for text, vector in zip(batch, vectors, strict=True):
            data = np.ascontiguousarray(vector, np.float32).tobytes()
            if text in self._wanted:
                self._wanted.discard(text)
                self._kept.put((self._embedder_id, text), data)
            self._promised.pop(text).set_result(data)

    def _break(self, batch: Sequence[str], error: Exception) -> None:
        for text in batch:
            self._wanted.discard(text)
            promise = self._promised.pop(text)
            promise.set_exception(error)
            promise.exception()  # retrieved: a cancelled request never does
