"""The request path in plain Python: clean, look up, compute misses, journal, answer."""

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
from bentos.embedder.contract import EmbedderContract
from bentos.heads.live_heads import LiveRollout
from bentos.heads.loading import LiveModel
from bentos.heads.memories import LiveMemories, NewMemory
from bentos.heads.pins import LivePins
from bentos.heads.routing import meets_canary, route
from bentos.inference_log.journal import Journal
from bentos.lru import LruCache
from core.errors import InvalidPhrase
from core.pins import Pin
from pipelines.model.memory import phrase_hash
from pipelines.model.text import clean_phrase

ANSWER_BYTES = 500  # of a cache entry beyond its texts: key, value, their objects

# Cleaned phrases that are remembered, and the longest that is: 7 MB at most. A typed phrase has
# about 40 characters.
REMEMBERED_PHRASES = 16_384
REMEMBERED_LENGTH = 80


class PhraseRequest(Struct, frozen=True, gc=False):
    """One phrase of a request. `place` names it in an error: "phrase" or "phrases[3]"."""

    phrase: str
    place: str = "phrase"
    key: str | None = None
    occurred_at: datetime | None = None
    region: str | None = None


class _Answered(Struct, frozen=True, gc=False):
    """One answered phrase: the source of its journal row, its response and its shadow."""

    request: PhraseRequest
    live: LiveModel
    cleaned: str
    encoded: EncodedAnswer
    hit: bool
    request_id: str
    occurred_at: datetime


@dataclass
class AnswerCounts:
    """Counts since the start of this process.

    `answered` counts phrases by (classifier, version, role), `abstained` those that were refused by
    (classifier, version); `seconds` is the time of `requests`.
    """

    answered: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    abstained: Counter[tuple[str, str]] = field(default_factory=Counter)
    cached: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    requests: int = 0


def answer_cache(maximum: int) -> LruCache[CacheKey, EncodedAnswer]:
    """Return the first cache level: answers by (classifier, version and head, cleaned phrase)."""
    return LruCache(maximum, size=lambda key, answer: ANSWER_BYTES + len(key[2]) + answer.weight)


class AnswerService:
    """Answers phrases with the live heads. For one event loop."""

    def __init__(
        self,
        *,
        live: Callable[[], Mapping[str, LiveRollout]],
        embedder: EmbedderContract,
        journal: Journal,
        cache: LruCache[CacheKey, EncodedAnswer],
    ) -> None:
        self.counts = AnswerCounts()
        self.cache = cache
        self.memories = LiveMemories()
        self.pins = LivePins()
        self.batcher = RequestBatcher(
            embedder, memories=self.memories, pins=self.pins, keep=cache.put
        )
        self.shadow = Shadow(
            embedder,
            journal=journal,
            cache=answer_cache(cache.maximum),
            memories=self.memories,
            busy=lambda: len(self.batcher),
        )
        self._live = live
        self._journal = journal

    async def answer(
        self, classifier: str, requests: Sequence[PhraseRequest], *, model: LiveModel | None = None
    ) -> list[bytes]:
        """Answer in order, each as a JSON object; every answer is journaled when this returns.

        `model` answers whatever rollout and pins say. Without it, the key or the cleaned text
        decides between champion and canary. `cached` in an answer: no embedding had to be computed,
        because it or the answer was in a cache. Raises `UnknownClassifier`, `InvalidPhrase` (a
        phrase is empty after cleaning), `EmbedderUnavailable`, `Overloaded`.
        """
        started = time.perf_counter()
        rollout = route(self._live(), classifier)
        texts = [cleaned_phrase(request) for request in requests]
        models = (
            choose_versions(rollout, requests, texts) if model is None else [model] * len(texts)
        )
        cached_answers = await self._find(models, texts)
        if model is not None:
            cached_answers = [(encoded.own or encoded, hit) for encoded, hit in cached_answers]
        now = datetime.now(UTC)
        answered = _answered(requests, models, texts, cached_answers, now=now)

        seconds = time.perf_counter() - started
        await self._journal.log(_rows(answered, latency_ms=round(seconds * 1000, 3)))
        self._count(classifier, answered, seconds=seconds)
        if rollout.shadow is not None and model is None:
            self.shadow.offer(_shadowed(rollout.shadow, answered, now=now))
        return [
            response_body(phrase.encoded, phrase.request_id, phrase.live.role, phrase.hit)
            for phrase in answered
        ]

    def swap_memory(self, new: NewMemory) -> None:
        """Answer with a new revision; phrases whose evidence it changes leave both caches."""
        name = new.memory.classifier
        self.memories.swap(new.memory)
        for cache in (self.cache, self.shadow.cache):
            cache.drop(lambda key: key[0] == name and phrase_hash(key[2]) in new.changed)

    def swap_pins(self, pins: Sequence[Pin]) -> None:
        """Answer with these pins; the phrases for which that is a change leave the cache."""
        changed = self.pins.swap(pins)
        if changed:
            self.cache.drop(lambda key: (key[0], key[2]) in changed)

    async def warm(self, live: LiveModel, cleaned: Sequence[str]) -> list[EncodedAnswer]:
        """Fill the first cache level before traffic; return the new answers. Raises as `answer`."""
        name = live.model.classifier
        identity = live.model.identity
        missing = [(live, text) for text in cleaned if (name, identity, text) not in self.cache]
        if not missing:
            return []
        return [encoded for encoded, _ in await self.batcher.answer(missing)]

    async def _find(
        self, models: Sequence[LiveModel], cleaned: Sequence[str]
    ) -> list[CachedAnswer]:
        """Return answers in order. Misses of all versions go to the embedder in one call."""
        keys = [
            (live.model.classifier, live.model.identity, text)
            for live, text in zip(models, cleaned, strict=True)
        ]
        cached = self.cache.find(keys)
        if all(cached):
            return [(encoded, True) for encoded in cached]  # type: ignore[misc]  # none is None
        missing = {
            key: live
            for key, live, encoded in zip(keys, models, cached, strict=True)
            if encoded is None
        }
        phrases = [(live, text) for (_, _, text), live in missing.items()]
        computed = dict(zip(missing, await self.batcher.answer(phrases), strict=True))
        return [
            (encoded, True) if encoded is not None else computed[key]
            for key, encoded in zip(keys, cached, strict=True)
        ]

    def _count(self, classifier: str, answered: Sequence[_Answered], *, seconds: float) -> None:
        counts = self.counts
        for (version, role), phrases in Counter(
            [(phrase.live.model.version, phrase.live.role) for phrase in answered]
        ).items():
            counts.answered[classifier, version, role] += phrases
        for phrase in answered:
            if phrase.encoded.abstained:
                counts.abstained[classifier, phrase.live.model.version] += 1
        counts.cached[classifier] += sum([phrase.hit for phrase in answered])
        counts.seconds += seconds
        counts.requests += 1


def choose_versions(
    rollout: LiveRollout, requests: Sequence[PhraseRequest], cleaned: Sequence[str]
) -> list[LiveModel]:
    """Return champion or canary for each phrase: by its key, else by its cleaned text."""
    champion = rollout.champion
    canary = rollout.canary
    if canary is None:
        return [champion] * len(cleaned)
    name = canary.model.classifier
    version = canary.model.version
    share = rollout.share
    to_canary = [
        meets_canary(request.key or text, classifier=name, version=version, share=share)
        for request, text in zip(requests, cleaned, strict=True)
    ]
    return [canary if meets else champion for meets in to_canary]


def _answered(
    requests: Sequence[PhraseRequest],
    models: Sequence[LiveModel],
    cleaned: Sequence[str],
    answers: Sequence[CachedAnswer],
    *,
    now: datetime,
) -> list[_Answered]:
    return [
        _Answered(
            request,
            live,
            text,
            encoded,
            hit,
            str(uuid_utils.uuid7()),
            request.occurred_at or now,
        )
        for request, live, text, (encoded, hit) in zip(
            requests, models, cleaned, answers, strict=True
        )
    ]


def _shadowed(shadow: LiveModel, answered: Sequence[_Answered], *, now: datetime) -> list[Shadowed]:
    return [
        Shadowed(
            shadow,
            phrase.cleaned,
            phrase.request.phrase,
            phrase.request_id,
            phrase.occurred_at,
            phrase.request.region,
            phrase.request.key,
            now,
        )
        for phrase in answered
        if phrase.live.model.version != shadow.model.version
    ]


def _rows(answered: Sequence[_Answered], *, latency_ms: float) -> list[bytes]:
    """Return journal rows; what neighbours of a batch share is encoded once."""
    rows = []
    shared = b""
    shared_values = None
    for phrase in answered:
        request = phrase.request
        values = (phrase.occurred_at, phrase.live.role, request.region, request.key)
        if values != shared_values:
            shared_values = values
            shared = row_shared(*values, latency_ms=latency_ms)
        rows.append(
            journal_row(phrase.encoded, shared, phrase.request_id, request.phrase, phrase.hit)
        )
    return rows


_clean_remembered = lru_cache(REMEMBERED_PHRASES)(clean_phrase)


def cleaned_phrase(request: PhraseRequest) -> str:
    """Return the cleaned phrase. Raises `InvalidPhrase` when nothing is left of it."""
    phrase = request.phrase
    remembered = len(phrase) <= REMEMBERED_LENGTH
    cleaned = _clean_remembered(phrase) if remembered else clean_phrase(phrase)
    if not cleaned:
        raise InvalidPhrase(
            f"a visible character in {request.place}",
            came="only white space or control characters",
            do="send a phrase",
            field=request.place,
        )
    return cleaned
