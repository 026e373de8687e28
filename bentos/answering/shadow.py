"""The shadow: it scores what others answered, behind a bounded queue, and is the first to give way. No client notices it."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby

from bentos.answering.batching import CachedAnswer, CacheKey, RequestBatcher
from bentos.answering.encoding import EncodedAnswer, journal_row, row_shared
from bentos.embedder.contract import Embedder
from bentos.heads.loading import LiveModel
from bentos.inference_log.journal import Journal
from bentos.lru import BATCH_PHRASES, LruCache
from core.logs import get_logger

QUEUE_PHRASES = 2048
GATHER_SECONDS = 0.1  # a batch gathers for so long; a row a phrase costs ten times as much
BUSY_MISSES = 256  # one batch of the embedder: from here on clients wait for it, and the shadow waits for them


@dataclass(frozen=True, slots=True)
class Shadowed:
    """A phrase that somebody else answered; its row has the same request_id and moment."""

    live: LiveModel
    cleaned: str
    phrase: str
    request_id: str
    occurred_at: datetime
    region: str | None
    routing_key: str | None
    offered_at: datetime


@dataclass
class ShadowCounts:
    """Phrases since the start of this process by outcome: scored, dropped, failed."""

    phrases: Counter[str] = field(default_factory=lambda: Counter(scored=0, dropped=0, failed=0))


class Shadow:
    """For one event loop. It has a cache and promises of its own, so that it neither evicts answers nor breaks those of clients.

    `busy` says how many new phrases clients wait for.
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        journal: Journal,
        cache: LruCache[CacheKey, EncodedAnswer],
        busy: Callable[[], int] = lambda: 0,
    ) -> None:
        self.counts, self.cache = ShadowCounts(), cache
        self._misses = RequestBatcher(embedder, keep=cache.put)
        self._journal, self._busy = journal, busy
        self._queue: deque[Shadowed] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def offer(self, phrases: Sequence[Shadowed]) -> None:
        """Queue them, or drop them, counted, when the queue is full. Never waits, never raises."""
        room = max(0, QUEUE_PHRASES - len(self._queue))
        self._queue.extend(phrases[:room])
        self.counts.phrases["dropped"] += len(phrases[room:])

    async def run(self) -> None:
        """Score for ever; the caller cancels. While clients wait for the embedder, only wait."""
        while True:
            await asyncio.sleep(GATHER_SECONDS)
            while self._queue and self._busy() < BUSY_MISSES:
                await self.score_batch()

    async def score_batch(self) -> None:
        """Score and log the oldest phrases of the queue. A failure costs these rows, counted, and is in the log."""
        batch = [self._queue.popleft() for _ in range(min(BATCH_PHRASES, len(self._queue)))]
        for _, same in groupby(batch, key=lambda one: one.live.model):
            phrases = list(same)
            try:
                await self._score(phrases)
            except Exception as error:
                self.counts.phrases["failed"] += len(phrases)
                get_logger().warning(
                    "shadow",
                    state="not scored",
                    phrases=len(phrases),
                    error=f"{type(error).__name__}: {error}",
                )
            else:
                self.counts.phrases["scored"] += len(phrases)

    async def _score(self, phrases: Sequence[Shadowed]) -> None:
        live, found = phrases[0].live, {}
        name, version = live.model.classifier, live.model.identity
        for text in dict.fromkeys(one.cleaned for one in phrases):
            if (said := self.cache.get((name, version, text))) is not None:
                found[text] = (said, True)
        missing = [
            text for text in dict.fromkeys(one.cleaned for one in phrases) if text not in found
        ]
        if missing:
            found |= zip(
                missing, await self._misses.answer([(live, text) for text in missing]), strict=True
            )
        now = datetime.now(UTC)
        await self._journal.log([_row(one, found[one.cleaned], now=now) for one in phrases])


def _row(one: Shadowed, found: CachedAnswer, *, now: datetime) -> bytes:
    """`latency_ms`: from the answer to the shadow's score."""
    said, hit = found
    latency_ms = round((now - one.offered_at).total_seconds() * 1000, 3)
    shared = row_shared(
        one.occurred_at, "shadow", one.region, one.routing_key, latency_ms=latency_ms
    )
    return journal_row(said, shared, one.request_id, one.phrase, hit)
