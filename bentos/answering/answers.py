"""The request path, in plain Python: clean, look up, let misses be computed, log, answer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

import uuid_utils
from msgspec import Struct

from bentos.answering.batching import CachedAnswer, CacheKey, RequestBatcher
from bentos.answering.encoding import EncodedAnswer, journal_row, response_body, row_shared
from bentos.answering.shadow import Shadow, Shadowed
from bentos.embedder.contract import Embedder
from bentos.heads.live_heads import LiveRollout
from bentos.heads.loading import LiveModel
from bentos.heads.routing import meets_canary, route
from bentos.inference_log.journal import Journal
from bentos.lru import LruCache
from core.errors import InvalidPhrase
from pipelines.model.text import clean_phrase

ANSWER_BYTES = 500  # of a cache entry beyond its texts: key, value, their objects
REMEMBERED, SHORT = (
    16_384,
    80,
)  # cleaned phrases kept, and how long one may be: 7 MB at most; a clerk's phrase has 40 characters


class PhraseRequest(Struct, frozen=True, gc=False):
    """One phrase of a request. `place` names it in an error: "phrase" or "phrases[3]"."""

    phrase: str
    place: str = "phrase"
    key: str | None = None
    occurred_at: datetime | None = None
    region: str | None = None


class _Answered(Struct, frozen=True, gc=False):
    """One phrase, answered: what its journal row, its response and its shadow are made of."""

    asked: PhraseRequest
    live: LiveModel
    cleaned: str
    said: EncodedAnswer
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


def answer_cache(maximum: int) -> LruCache[CacheKey, EncodedAnswer]:
    """The first level: answers by (classifier, version and head, cleaned phrase)."""
    return LruCache(maximum, size=lambda key, said: ANSWER_BYTES + len(key[2]) + said.weight)


class AnswerService:
    """Answers phrases with the live heads. For one event loop."""

    def __init__(
        self,
        *,
        live: Callable[[], Mapping[str, LiveRollout]],
        embedder: Embedder,
        journal: Journal,
        cache: LruCache[CacheKey, EncodedAnswer],
    ) -> None:
        self.counts, self.cache = AnswerCounts(), cache
        self.misses = RequestBatcher(embedder, keep=cache.put)
        self.shadow = Shadow(
            embedder,
            journal=journal,
            cache=answer_cache(cache.maximum),
            busy=lambda: len(self.misses),
        )
        self._live, self._journal = live, journal

    async def answer(
        self, classifier: str, asked: Sequence[PhraseRequest], *, by: LiveModel | None = None
    ) -> list[bytes]:
        """Answer in order, each as a JSON object of its own; every answer is in the journal when this returns.

        `by` answers whatever the rollout says; else each phrase meets champion or canary by its key, or by itself.

        `cached` in it: no embedding had to be computed; the answer was in the first level, or its embedding in the embedder's cache.
        Raises `UnknownClassifier`, `InvalidPhrase` (nothing is left of a phrase after cleaning), `EmbedderUnavailable`, `Overloaded`.
        """
        started = time.perf_counter()
        rollout = route(self._live(), classifier)
        texts = [_clean(one) for one in asked]
        models = _choose(rollout, asked, texts) if by is None else [by] * len(texts)
        found, now = await self._find(models, texts), datetime.now(UTC)
        answered = [
            _Answered(one, live, text, said, hit, str(uuid_utils.uuid7()), one.occurred_at or now)
            for one, live, text, (said, hit) in zip(asked, models, texts, found, strict=True)
        ]
        seconds = time.perf_counter() - started
        await self._journal.log(_rows(answered, latency_ms=round(seconds * 1000, 3)))
        self._count(classifier, answered, seconds=seconds)
        if rollout.shadow is not None and by is None:
            self.shadow.offer(_shadowed(rollout.shadow, answered, now=now))
        return [
            response_body(one.said, request_id=one.request_id, role=one.live.role, cached=one.hit)
            for one in answered
        ]

    async def warm(self, live: LiveModel, cleaned: Sequence[str]) -> list[EncodedAnswer]:
        """Put answers into the first level before they are asked for; return the new ones. Raises as `answer`."""
        name, version = live.model.classifier, live.model.identity
        missing = [(live, text) for text in cleaned if (name, version, text) not in self.cache]
        return [said for said, _ in await self.misses.answer(missing)] if missing else []

    async def _find(
        self, models: Sequence[LiveModel], cleaned: Sequence[str]
    ) -> list[CachedAnswer]:
        """In order; what the first level does not know is computed, of all versions in one call of the embedder."""
        keys = [
            (live.model.classifier, live.model.identity, text)
            for live, text in zip(models, cleaned, strict=True)
        ]
        found = self.cache.find(keys)
        if all(found):
            return [(said, True) for said in found]  # type: ignore[misc]
        missing = {
            key: live for key, live, known in zip(keys, models, found, strict=True) if known is None
        }
        wanted = [(live, text) for (_, _, text), live in missing.items()]
        computed = dict(zip(missing, await self.misses.answer(wanted), strict=True))
        return [
            (known, True) if known is not None else computed[key]
            for key, known in zip(keys, found, strict=True)
        ]

    def _count(self, classifier: str, answered: Sequence[_Answered], *, seconds: float) -> None:
        counts = self.counts
        for (version, role), phrases in Counter(
            [(one.live.model.version, one.live.role) for one in answered]
        ).items():
            counts.answered[classifier, version, role] += phrases
        counts.cached[classifier] += sum([one.hit for one in answered])
        counts.seconds += seconds
        counts.requests += 1


def _choose(
    rollout: LiveRollout, asked: Sequence[PhraseRequest], cleaned: Sequence[str]
) -> list[LiveModel]:
    """Champion or canary, for each phrase: by its key, else by itself."""
    champion, canary = rollout.champion, rollout.canary
    if canary is None:
        return [champion] * len(cleaned)
    name, version, share = canary.model.classifier, canary.model.version, rollout.share
    met = [
        meets_canary(one.key or text, classifier=name, version=version, share=share)
        for one, text in zip(asked, cleaned, strict=True)
    ]
    return [canary if meets else champion for meets in met]


def _shadowed(shadow: LiveModel, answered: Sequence[_Answered], *, now: datetime) -> list[Shadowed]:
    return [
        Shadowed(
            shadow,
            one.cleaned,
            one.asked.phrase,
            one.request_id,
            one.occurred_at,
            one.asked.region,
            one.asked.key,
            now,
        )
        for one in answered
        if one.live.model.version != shadow.model.version
    ]


def _rows(answered: Sequence[_Answered], *, latency_ms: float) -> list[bytes]:
    """Journal rows; what those of a batch share is encoded once."""
    rows, shared, about = [], b"", None
    for one in answered:
        asked = one.asked
        if (fresh := (one.occurred_at, one.live.role, asked.region, asked.key)) != about:
            about = fresh
            shared = row_shared(*fresh, latency_ms=latency_ms)
        rows.append(journal_row(one.said, shared, one.request_id, asked.phrase, one.hit))
    return rows


_remembered = lru_cache(REMEMBERED)(clean_phrase)


def _clean(one: PhraseRequest) -> str:
    phrase = one.phrase
    cleaned = _remembered(phrase) if len(phrase) <= SHORT else clean_phrase(phrase)
    if not cleaned:
        came = "only white space or control characters"
        raise InvalidPhrase(
            f"a visible character in {one.place}", came=came, do="send a phrase", field=one.place
        )
    return cleaned
