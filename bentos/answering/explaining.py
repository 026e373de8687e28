"""Explains answers beside the request path: one at a time, and never ahead of a predict."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bentos.answering.answers import PhraseRequest, choose_versions, cleaned_phrase
from bentos.embedder.contract import EmbedderContract
from bentos.heads.live_heads import LiveRollout
from bentos.heads.loading import LiveModel
from bentos.heads.memories import LiveMemories
from bentos.heads.pins import LivePins
from bentos.heads.routing import route
from bentos.lru import LruCache
from core.errors import EmbedderUnavailable, Overloaded
from core.pins import Pin
from pipelines.model.arrays import Float32
from pipelines.model.explanation import Explanation, explain_embedded, texts_to_embed
from pipelines.model.memory import AppliedMemory
from pipelines.model.training_phrases import TrainingPhrases, load_training_phrases

MAX_WAITING = 16
"""Explanations at once: the last waits for about half a second."""
CHUNK = 16
"""Texts per call of the embedder. A predict that comes meanwhile waits for a few milliseconds of
it, not for the 80 texts of a long phrase."""
KEPT_TEXTS = 1000
"""Embeddings of the newest explanations, 2 MB: the same phrase is often explained again."""
KEPT = 4
"""Versions with their training phrases, of 3 MB each."""


@dataclass(frozen=True)
class Explained:
    """An explanation, and what stands beside the head. A pin may rest."""

    live: LiveModel
    explanation: Explanation
    revision: int | None
    pin: Pin | None


class Explainer:
    """Explains what a predict would answer. For one event loop. Nothing is logged or counted.

    Embeddings come from the embedder's cache and do not enter it: the parts of a phrase would evict
    phrases that are asked. The newest are kept here. `models` is the model store, which holds the
    training phrases of each version.
    """

    def __init__(
        self,
        *,
        live: Callable[[], Mapping[str, LiveRollout]],
        embedder: EmbedderContract,
        memories: LiveMemories,
        pins: LivePins,
        models: Path,
    ) -> None:
        self._live = live
        self._embedder = embedder
        self._memories = memories
        self._pins = pins
        self._models = models
        self._waiting = 0
        self._turn = asyncio.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._vectors: LruCache[str, Float32] = LruCache(KEPT_TEXTS)
        self._kept: LruCache[tuple[str, str], tuple[TrainingPhrases | None]] = LruCache(KEPT)

    async def explain(
        self, classifier: str, request: PhraseRequest, *, model: LiveModel | None = None
    ) -> Explained:
        """Explain the answer to one phrase; `model` answers whatever rollout and pins say.

        Raises `UnknownClassifier`, `InvalidPhrase`, `EmbedderUnavailable`, `Overloaded`.
        """
        rollout = route(self._live(), classifier)
        cleaned = cleaned_phrase(request)
        [live] = [model] if model else choose_versions(rollout, [request], [cleaned])
        pin = None if model else self._pins.find(classifier, cleaned)
        async with self._one_at_a_time():
            vectors = await self._embed(texts_to_embed(cleaned))
            memory = self._memories.beside(live)
            compute = partial(self._compute, live, cleaned, vectors, memory)
            loop = asyncio.get_running_loop()
            explanation = await loop.run_in_executor(self._worker, compute)
        return Explained(
            live,
            explanation,
            revision=None if memory is None else memory.memory.revision,
            pin=pin,
        )

    @asynccontextmanager
    async def _one_at_a_time(self) -> AsyncIterator[None]:
        if self._waiting >= MAX_WAITING:
            raise Overloaded(
                f"at most {MAX_WAITING} explanations at once",
                came="more",
                do="try again in a second",
            )
        self._waiting += 1
        try:
            async with self._turn:
                yield
        finally:
            self._waiting -= 1

    async def _embed(self, texts: Sequence[str]) -> Float32:
        """Return the embeddings in order, float32 (n, d). Raises `EmbedderUnavailable`."""
        by_text = dict(zip(texts, self._vectors.find(texts), strict=True))
        missing = [text for text, vector in by_text.items() if vector is None]
        for start in range(0, len(missing), CHUNK):
            chunk = missing[start : start + CHUNK]
            async with aclosing(self._embedder.embed(chunk, keep=False)) as parts:
                async for part in parts:
                    for place, vector in zip(part.places, part.vectors, strict=True):
                        by_text[chunk[place]] = vector.copy()  # not a view of the whole answer
        vectors = [vector for vector in by_text.values() if vector is not None]
        if len(vectors) < len(by_text):
            raise EmbedderUnavailable(
                "an embedding of every text", came="fewer", do="try again in a second"
            )
        vector_of = dict(zip(by_text, vectors, strict=True))
        for text, vector in vector_of.items():
            self._vectors.put(text, vector)
        return np.stack([vector_of[text] for text in texts])

    def _compute(
        self, live: LiveModel, cleaned: str, vectors: Float32, memory: AppliedMemory | None
    ) -> Explanation:
        phrases = self._training_phrases(live)
        return explain_embedded(live.classifier, cleaned, vectors, memory=memory, phrases=phrases)

    def _training_phrases(self, live: LiveModel) -> TrainingPhrases | None:
        """Return the phrases of a version; a head packed with the bento finds them in the store."""
        name = live.model.classifier
        key = (name, live.model.identity)
        kept = self._kept.get(key)
        if kept is None:
            kept = (load_training_phrases(self._models / name / live.model.version),)
            self._kept.put(key, kept)
        return kept[0]
