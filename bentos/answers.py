"""The request path, in plain Python: clean, look up, let misses be computed, log, answer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import uuid_utils

from bentos.caches import LruCache
from bentos.journal import Journal
from bentos.live_heads import LiveModel
from bentos.misses import Embedder, Found, Known, Misses
from bentos.routing import route
from bentos.said import Said, journal_row, response_body
from core.errors import InvalidPhrase
from pipelines.model.text import clean_phrase

ENTRY_BYTES = 500  # of a cache entry beyond its texts: key, value, their objects


@dataclass(frozen=True, slots=True)
class Asked:
    """One phrase of a request. `place` names it in an error: "phrase" or "phrases[3]"."""

    phrase: str
    place: str = "phrase"
    key: str | None = None
    occurred_at: datetime | None = None
    region: str | None = None


@dataclass
class AnswerCounts:
    """Phrases answered since the start of this process, by (classifier, version, role), and how long requests took."""

    answered: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    cached: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    requests: int = 0


def answer_cache(maximum: int) -> LruCache[Known, Said]:
    """The first level: answers by (classifier, version, cleaned phrase)."""
    return LruCache(maximum, size=lambda key, said: ENTRY_BYTES + len(key[2]) + said.weight)


class Answers:
    """Answers phrases with the live heads. For one event loop."""

    def __init__(
        self, *, live: Callable[[], Mapping[str, LiveModel]], embedder: Embedder, journal: Journal, cache: LruCache[Known, Said]
    ) -> None:
        self.counts, self.cache = AnswerCounts(), cache
        self.misses = Misses(embedder, keep=cache.put)
        self._live, self._journal = live, journal

    async def answer(self, classifier: str, asked: Sequence[Asked]) -> list[bytes]:
        """Answer in order, each as a JSON object of its own; every answer is in the journal when this returns.

        `cached` in it: no embedding had to be computed; the answer was in the first level, or its embedding in the embedder's cache.
        Raises `UnknownClassifier`, `InvalidPhrase` (nothing is left of a phrase after cleaning), `EmbedderUnavailable`, `Overloaded`.
        """
        started = time.perf_counter()
        live = route(self._live(), classifier)
        found = await self._find(live, [_clean(one) for one in asked])
        ids = [str(uuid_utils.uuid7()) for _ in asked]
        seconds = time.perf_counter() - started
        await self._journal.log(_rows(live, asked, found, ids, seconds=seconds))
        self._count(live, found, seconds=seconds)
        role = live.role
        return [response_body(said, request_id=one, role=role, cached=hit) for (said, hit), one in zip(found, ids, strict=True)]

    async def warm(self, live: LiveModel, cleaned: Sequence[str]) -> None:
        """Put answers into the first level before they are asked for; raises as `answer`."""
        name, version = live.model.classifier, live.model.version
        missing = [text for text in cleaned if (name, version, text) not in self.cache]
        if missing:
            await self.misses.answer(live, missing)

    async def _find(self, live: LiveModel, cleaned: Sequence[str]) -> list[Found]:
        name, version, get = live.model.classifier, live.model.version, self.cache.get
        known = [get((name, version, text)) for text in cleaned]
        missing = list(dict.fromkeys(text for text, said in zip(cleaned, known, strict=True) if said is None))
        computed = dict(zip(missing, await self.misses.answer(live, missing), strict=True)) if missing else {}
        return [(said, True) if said is not None else computed[text] for text, said in zip(cleaned, known, strict=True)]

    def _count(self, live: LiveModel, found: Sequence[Found], *, seconds: float) -> None:
        counts, name = self.counts, live.model.classifier
        counts.answered[name, live.model.version, live.role] += len(found)
        counts.cached[name] += sum(hit for _, hit in found)
        counts.seconds += seconds
        counts.requests += 1


def _rows(live: LiveModel, asked: Sequence[Asked], found: Sequence[Found], ids: Sequence[str], *, seconds: float) -> list[bytes]:
    now, latency_ms = datetime.now(UTC), round(seconds * 1000, 3)
    return [
        journal_row(
            said,
            occurred_at=one.occurred_at or now,
            request_id=request_id,
            role=live.role,
            phrase=one.phrase,
            cached=hit,
            latency_ms=latency_ms,
            region=one.region,
            routing_key=one.key,
        )
        for one, (said, hit), request_id in zip(asked, found, ids, strict=True)
    ]


def _clean(one: Asked) -> str:
    cleaned = clean_phrase(one.phrase)
    if not cleaned:
        came = "only white space or control characters"
        raise InvalidPhrase(f"a visible character in {one.place}", came=came, do="send a phrase", field=one.place)
    return cleaned
