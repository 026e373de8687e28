"""The request path, in plain Python: clean, look up, embed what is missing, score, log, answer."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import uuid_utils

from bentos.caches import LruCache
from bentos.embedding import Embedded
from bentos.journal import Journal
from bentos.live_heads import LiveModel
from bentos.routing import route
from core.contracts import Inference, Prediction, Role
from core.errors import InvalidPhrase
from pipelines.model.text import clean_phrase

THREAD_FROM = 16  # distinct phrases: from here on scoring them would hold the event loop for milliseconds

Known = tuple[str, str, str]  # classifier, version, cleaned


class Embedder(Protocol):
    """What embeds cleaned phrases; raises `EmbedderUnavailable`."""

    async def embed(self, cleaned: Sequence[str]) -> Embedded: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """One phrase of a request. `place` names it in an error: "phrase" or "phrases[3]"."""

    phrase: str
    place: str = "phrase"
    key: str | None = None
    occurred_at: datetime | None = None
    region: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """`cached`: no embedding had to be computed; the answer was in the first level, or its embedding in the embedder's cache."""

    request_id: str
    classifier: str
    prediction: Prediction
    version: str
    role: Role
    cached: bool


@dataclass
class AnswerCounts:
    """Phrases answered since the start of this process, by (classifier, version, role), and how long requests took."""

    answered: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    cached: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    requests: int = 0


class Answers:
    """Answers phrases with the live heads. For one event loop."""

    def __init__(
        self, *, live: Callable[[], Mapping[str, LiveModel]], embedder: Embedder, journal: Journal, cache: LruCache[Known, Prediction]
    ) -> None:
        self.counts, self.cache = AnswerCounts(), cache
        self._live, self._embedder, self._journal = live, embedder, journal

    async def answer(self, classifier: str, asked: Sequence[Asked]) -> list[Answer]:
        """Answer in order; every answer is in the journal when this returns.

        Raises `UnknownClassifier`, `InvalidPhrase` (nothing is left of a phrase after cleaning), `EmbedderUnavailable`.
        """
        started = time.perf_counter()
        live = route(self._live(), classifier)
        cleaned = [_clean(one) for one in asked]
        known, cached = await self._predictions(live, cleaned)
        answers = [
            Answer(str(uuid_utils.uuid7()), classifier, known[text], live.model.version, live.role, text in cached) for text in cleaned
        ]
        self._log(live, asked, cleaned, answers, seconds=time.perf_counter() - started)
        return answers

    async def _predictions(self, live: LiveModel, cleaned: Sequence[str]) -> tuple[Mapping[str, Prediction], set[str]]:
        """Prediction of each distinct cleaned phrase, and those for which no embedding was computed."""
        name, version = live.model.classifier, live.model.version
        known = {text: found for text in cleaned if (found := self.cache.get((name, version, text))) is not None}
        cached = set(known)
        missing = list(dict.fromkeys(text for text in cleaned if text not in known))
        if missing:
            embedded = await self._embedder.embed(missing)
            cached.update(text for text, hit in zip(missing, embedded.hits, strict=True) if hit)
            for text, prediction in zip(missing, await _score(live, missing, embedded), strict=True):
                known[text] = prediction
                self.cache.put((name, version, text), prediction)
        return known, cached

    def _log(self, live: LiveModel, asked: Sequence[Asked], cleaned: Sequence[str], answers: Sequence[Answer], *, seconds: float) -> None:
        now = datetime.now(UTC)
        self._journal.append(
            [
                Inference(
                    occurred_at=one.occurred_at or now,
                    request_id=answer.request_id,
                    version=answer.version,
                    classifier=answer.classifier,
                    role=answer.role,
                    phrase=one.phrase,
                    cleaned=text,
                    label=answer.prediction.label,
                    probability=answer.prediction.probability,
                    alternatives=answer.prediction.alternatives,
                    embedder_id=live.model.embedder_id,
                    cached=answer.cached,
                    latency_ms=round(seconds * 1000, 3),
                    region=one.region,
                    routing_key=one.key,
                )
                for one, text, answer in zip(asked, cleaned, answers, strict=True)
            ]
        )
        self._count(live, answers, seconds)

    def _count(self, live: LiveModel, answers: Sequence[Answer], seconds: float) -> None:
        counts, name = self.counts, live.model.classifier
        counts.answered[name, live.model.version, live.role] += len(answers)
        counts.cached[name] += sum(answer.cached for answer in answers)
        counts.seconds += seconds
        counts.requests += 1


def _clean(one: Asked) -> str:
    cleaned = clean_phrase(one.phrase)
    if not cleaned:
        came = "only white space or control characters"
        raise InvalidPhrase(f"a visible character in {one.place}", came=came, do="send a phrase", field=one.place)
    return cleaned


async def _score(live: LiveModel, cleaned: Sequence[str], embedded: Embedded) -> Sequence[Prediction]:
    if len(cleaned) < THREAD_FROM:
        return live.classifier.predict_cleaned(cleaned, embedded.vectors)
    return await asyncio.to_thread(live.classifier.predict_cleaned, cleaned, embedded.vectors)
