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
from bentos.live_heads import LiveRollout
from bentos.loading import LiveModel
from bentos.misses import Embedder, Found, Known, Misses
from bentos.routing import meets_canary, route
from bentos.said import Said, journal_row, response_body
from bentos.shadow import Shadow, Shadowed
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


@dataclass(frozen=True, slots=True)
class _Answered:
    """One phrase, answered: what its journal row, its response and its shadow are made of."""

    asked: Asked
    live: LiveModel
    cleaned: str
    said: Said
    hit: bool
    request_id: str
    occurred_at: datetime


@dataclass
class AnswerCounts:
    """Phrases answered since the start of this process, by (classifier, version, role), and how long requests took."""

    answered: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    cached: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    requests: int = 0


def answer_cache(maximum: int) -> LruCache[Known, Said]:
    """The first level: answers by (classifier, version and head, cleaned phrase)."""
    return LruCache(maximum, size=lambda key, said: ENTRY_BYTES + len(key[2]) + said.weight)


class Answers:
    """Answers phrases with the live heads. For one event loop."""

    def __init__(
        self, *, live: Callable[[], Mapping[str, LiveRollout]], embedder: Embedder, journal: Journal, cache: LruCache[Known, Said]
    ) -> None:
        self.counts, self.cache = AnswerCounts(), cache
        self.misses = Misses(embedder, keep=cache.put)
        self.shadow = Shadow(embedder, journal=journal, cache=answer_cache(cache.maximum), busy=lambda: len(self.misses))
        self._live, self._journal = live, journal

    async def answer(self, classifier: str, asked: Sequence[Asked], *, by: LiveModel | None = None) -> list[bytes]:
        """Answer in order, each as a JSON object of its own; every answer is in the journal when this returns.

        `by` answers whatever the rollout says; else each phrase meets champion or canary by its key, or by itself.

        `cached` in it: no embedding had to be computed; the answer was in the first level, or its embedding in the embedder's cache.
        Raises `UnknownClassifier`, `InvalidPhrase` (nothing is left of a phrase after cleaning), `EmbedderUnavailable`, `Overloaded`.
        """
        started = time.perf_counter()
        rollout = route(self._live(), classifier)
        texts = [_clean(one) for one in asked]
        models = [by or _choose(rollout, one, text) for one, text in zip(asked, texts, strict=True)]
        found, now = await self._find(models, texts), datetime.now(UTC)
        answered = [
            _Answered(one, live, text, said, hit, str(uuid_utils.uuid7()), one.occurred_at or now)
            for one, live, text, (said, hit) in zip(asked, models, texts, found, strict=True)
        ]
        seconds = time.perf_counter() - started
        latency_ms = round(seconds * 1000, 3)
        await self._journal.log([_row(one, latency_ms=latency_ms) for one in answered])
        self._count(classifier, answered, seconds=seconds)
        if rollout.shadow is not None and by is None:
            self.shadow.offer(_shadowed(rollout.shadow, answered, now=now))
        return [response_body(one.said, request_id=one.request_id, role=one.live.role, cached=one.hit) for one in answered]

    async def warm(self, live: LiveModel, cleaned: Sequence[str]) -> list[Said]:
        """Put answers into the first level before they are asked for; return the new ones. Raises as `answer`."""
        name, version = live.model.classifier, live.model.identity
        missing = [(live, text) for text in cleaned if (name, version, text) not in self.cache]
        return [said for said, _ in await self.misses.answer(missing)] if missing else []

    async def _find(self, models: Sequence[LiveModel], cleaned: Sequence[str]) -> list[Found]:
        """In order; what the first level does not know is computed, of all versions in one call of the embedder."""
        get = self.cache.get
        keys = [(live.model.classifier, live.model.identity, text) for live, text in zip(models, cleaned, strict=True)]
        found = [(said, True) if (said := get(key)) is not None else None for key in keys]
        missing = {key: live for key, live, known in zip(keys, models, found, strict=True) if known is None}
        if not missing:
            return found  # type: ignore[return-value]
        wanted = [(live, text) for (_, _, text), live in missing.items()]
        computed = dict(zip(missing, await self.misses.answer(wanted), strict=True))
        return [known or computed[key] for key, known in zip(keys, found, strict=True)]

    def _count(self, classifier: str, answered: Sequence[_Answered], *, seconds: float) -> None:
        counts = self.counts
        for one in answered:
            counts.answered[classifier, one.live.model.version, one.live.role] += 1
        counts.cached[classifier] += sum(one.hit for one in answered)
        counts.seconds += seconds
        counts.requests += 1


def _choose(rollout: LiveRollout, asked: Asked, cleaned: str) -> LiveModel:
    """Champion or canary: by the key, else by the phrase."""
    canary = rollout.canary
    if canary is None:
        return rollout.champion
    model = canary.model
    met = meets_canary(asked.key or cleaned, classifier=model.classifier, version=model.version, share=rollout.share)
    return canary if met else rollout.champion


def _shadowed(shadow: LiveModel, answered: Sequence[_Answered], *, now: datetime) -> list[Shadowed]:
    return [
        Shadowed(shadow, one.cleaned, one.asked.phrase, one.request_id, one.occurred_at, one.asked.region, one.asked.key, now)
        for one in answered
        if one.live.model.version != shadow.model.version
    ]


def _row(one: _Answered, *, latency_ms: float) -> bytes:
    return journal_row(
        one.said,
        occurred_at=one.occurred_at,
        request_id=one.request_id,
        role=one.live.role,
        phrase=one.asked.phrase,
        cached=one.hit,
        latency_ms=latency_ms,
        region=one.asked.region,
        routing_key=one.asked.key,
    )


def _clean(one: Asked) -> str:
    cleaned = clean_phrase(one.phrase)
    if not cleaned:
        came = "only white space or control characters"
        raise InvalidPhrase(f"a visible character in {one.place}", came=came, do="send a phrase", field=one.place)
    return cleaned
