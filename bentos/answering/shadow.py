"""Scores answered phrases with the shadow version, in a bounded queue that yields to clients."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby

from bentos.answering.batching import CachedAnswer, CacheKey, RequestBatcher
from bentos.answering.encoding import EncodedAnswer, journal_row, row_shared
from bentos.embedder.contract import EmbedderContract
from bentos.heads.loading import LiveModel
from bentos.heads.memories import LiveMemories
from bentos.inference_log.journal import Journal
from bentos.lru import BATCH_PHRASES, LruCache
from core.logs import get_logger

QUEUE_PHRASES = 2048
GATHER_SECONDS = 0.1  # to fill a batch: one journal write per phrase costs ten times as much
BUSY_MISSES = 256  # one batch of the embedder: while as many wait, the shadow waits for clients


@dataclass(frozen=True, slots=True)
class Shadowed:
    """A phrase that another version answered; its row has the same request_id and moment."""

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
    """For one event loop. `busy` returns how many new phrases clients wait for.

    The shadow has its own cache and pending futures: it neither evicts the answers of clients nor
    fails their requests.
    """

    def __init__(
        self,
        embedder: EmbedderContract,
        *,
        journal: Journal,
        cache: LruCache[CacheKey, EncodedAnswer],
        memories: LiveMemories,
        busy: Callable[[], int] = lambda: 0,
    ) -> None:
        self.counts = ShadowCounts()
        self.cache = cache
        self._batcher = RequestBatcher(embedder, memories=memories, keep=cache.put)
        self._journal = journal
        self._busy = busy
        self._queue: deque[Shadowed] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def offer(self, phrases: Sequence[Shadowed]) -> None:
        """Queue the phrases; drop and count those beyond its room. Never waits, never raises."""
        room = max(0, QUEUE_PHRASES - len(self._queue))
        self._queue.extend(phrases[:room])
        self.counts.phrases["dropped"] += len(phrases[room:])

    async def run(self) -> None:
        """Score until cancelled. While clients wait for the embedder, only wait."""
        while True:
            await asyncio.sleep(GATHER_SECONDS)
            while self._queue and self._busy() < BUSY_MISSES:
                await self.score_batch()

    async def score_batch(self) -> None:
        """Score and journal the oldest phrases of the queue. A failure is logged and counted."""
        batch = [self._queue.popleft() for _ in range(min(BATCH_PHRASES, len(self._queue)))]
        for _, same in groupby(batch, key=lambda phrase: phrase.live.model):
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
        live = phrases[0].live
        name = live.model.classifier
        identity = live.model.identity
        texts = dict.fromkeys(phrase.cleaned for phrase in phrases)
        answers: dict[str, CachedAnswer] = {}
        for text in texts:
            encoded = self.cache.get((name, identity, text))
            if encoded is not None:
                answers[text] = (encoded, True)
        missing = [(live, text) for text in texts if text not in answers]
        if missing:
            computed = await self._batcher.answer(missing)
            answers |= zip((text for _, text in missing), computed, strict=True)
        now = datetime.now(UTC)
        await self._journal.log(
            [_row(phrase, answers[phrase.cleaned], now=now) for phrase in phrases]
        )


def _row(phrase: Shadowed, answer: CachedAnswer, *, now: datetime) -> bytes:
    """Return a journal row; its `latency_ms` is the time from the answer to the shadow's score."""
    encoded, hit = answer
    latency_ms = round((now - phrase.offered_at).total_seconds() * 1000, 3)
    shared = row_shared(
        phrase.occurred_at, "shadow", phrase.region, phrase.routing_key, latency_ms=latency_ms
    )
    return journal_row(encoded, shared, phrase.request_id, phrase.phrase, hit)
