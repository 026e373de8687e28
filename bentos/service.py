"""The two BentoML services: thin shells around plain Python; `bentoml serve` runs both."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

import bentoml

from bentos.answering.answers import AnswerService, answer_cache
from bentos.background import Background
from bentos.embedder.cache import EmbeddingCache
from bentos.embedder.cache_file import EmbeddingCacheFile
from bentos.embedder.client import RemoteEmbedder, embedder_address
from bentos.embedder.server import embedding_app
from bentos.heads.live_heads import LiveHeads
from bentos.heads.memories import MemoryFollower, NewMemory
from bentos.http.app import BYPASSED_PAGES, BYPASSED_PATHS, ClassifierApp
from bentos.http.endpoint import AppState
from bentos.http.slow_clients import close_slow_clients
from bentos.inference_log.journal import JournalCounts
from bentos.keys import Keys, require_keys_beyond_loopback
from bentos.vendor_patches.bentoml_middleware import BypassMiddleware
from bentos.vendor_patches.uvicorn_upgrades import ignore_upgrades
from bentos.wiring import (
    PACKED,
    embedder_folder,
    follow_database,
    freeze_garbage_collector,
    listening_host,
    make_explainer,
    make_retained,
    make_warmer,
    open_engine,
    open_feedback,
    open_journal,
    served_group,
    ship_journals,
    start_pins,
    start_process,
)
from core.pins import Pin
from core.settings import Settings
from pipelines.model.embedder import load_embedder, read_embedder

SAVE_SECONDS = 300.0  # a killed process loses at most so much of its caches
EMBEDDER_WAIT_SECONDS = 1.0  # at startup; without an embedder the answer cache still answers

embedding = embedding_app()
classifying = ClassifierApp()

# BentoML's timeout middleware keeps a request alive for as long as the timeout. Its tracing costs
# more than the rest of a request. Its metrics label by raw path, so that a scan fills the memory.
_OPTIONS = {
    "workers": 1,
    "traffic": {"timeout": 5},
    "tracing": {"excluded_urls": [".*"]},
    "logging": {"access": {"enabled": False}},
    "metrics": {"enabled": False, "namespace": "bentoml"},
}


@bentoml.service(
    name="Embedder",
    threads=1,
    runner_connection={"max_requests": 10**9, "max_age": 1e9},  # else closed every 100 calls
    **_OPTIONS,
)
@bentoml.asgi_app(embedding, path="/")
class Embedder:
    """One process, one model, one cache for every classifier."""

    def __init__(self) -> None:
        settings = start_process()
        folder = embedder_folder(settings)
        embedder_id = str(read_embedder(folder)["embedder_id"])
        cache = EmbeddingCache(
            load_embedder(folder), embedder_id=embedder_id, maximum=settings.cache_phrases
        )
        cache_file = EmbeddingCacheFile(settings.caches, cache, embedder_id=embedder_id)
        cache_file.restore()
        embedding.state.cache = cache
        self.saving = Background(cache_file.save, seconds=SAVE_SECONDS, name="embeddings kept")

    @bentoml.on_startup  # type: ignore[untyped-decorator]  # BentoML has no type for it
    def ready(self) -> None:
        self.saving.start()
        freeze_garbage_collector()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]  # BentoML has no type for it
    def stop(self) -> None:
        self.saving.stop()


@bentoml.service(name="Classifier", threads=4, **_OPTIONS)
@bentoml.asgi_app(classifying, path="/")
class Classifier:
    """Serves every classifier, follows `deployment`, ships the journal."""

    embedder = bentoml.depends(Embedder)

    def __init__(self) -> None:
        settings = start_process()
        require_keys_beyond_loopback(listening_host(sys.argv), settings.api_keys_file)
        embedder = read_embedder(embedder_folder(settings))
        embedder_id = str(embedder["embedder_id"])
        counts = JournalCounts()
        self.engine = open_engine(settings)
        serves = served_group(settings).serves

        self.heads = LiveHeads(embedder_id, home=settings.home, serves=serves)
        self.heads.start_cold(PACKED)
        self.remote = RemoteEmbedder(
            embedder_address(os.environ),
            dimensions=int(embedder["dimensions"]),
            seconds=settings.answer_seconds,
        )
        self.journal = open_journal(settings, counts)
        self.feedback = open_feedback(settings)
        self.answers = answers = AnswerService(
            live=lambda: self.heads.current,
            embedder=self.remote,
            journal=self.journal,
            cache=answer_cache(settings.cache_answers),
        )
        self.pins = start_pins(settings, answers, serves)
        self.warmer = make_warmer(settings, answers, self.engine)
        self.heads.prepare = self.warmer.warm
        keys = Keys(settings.api_keys_file)
        self.background = [
            Background(keys.refresh, seconds=settings.poll_seconds, name="api keys"),
            Background(self.warmer.save, seconds=SAVE_SECONDS, name="phrases kept"),
            *self._follow_database(settings, counts),
        ]
        self._open_routes(settings, keys, counts)

    def _open_routes(self, settings: Settings, keys: Keys, counts: JournalCounts) -> None:
        """Give the handlers what they use."""
        classifying.state.app_state = AppState(
            self.answers,
            self.heads,
            counts,
            self.feedback,
            self.remote.stats,
            keys,
            make_retained(settings, self.heads),
            make_explainer(settings, self.answers, self.heads, self.remote),
        )

    def _follow_database(self, settings: Settings, counts: JournalCounts) -> list[Background]:
        serves = self.heads.serves
        memories = MemoryFollower(settings.home, self._take_memory, serves=serves)
        return [
            *follow_database(
                settings, self.engine, heads=self.heads, memories=memories, pins=self.pins
            ),
            *ship_journals(
                settings,
                self.engine,
                heads=self.heads,
                counts=counts,
                feedback=self.feedback.counts,
            ),
        ]

    @bentoml.on_startup  # type: ignore[untyped-decorator]  # BentoML has no type for it
    async def ready(self) -> None:
        ignore_upgrades()
        self.loop = asyncio.get_running_loop()
        self.remote.heartbeat.start()
        self.warmer.use(asyncio.get_running_loop())
        self.tasks = [
            asyncio.create_task(self._warm()),
            asyncio.create_task(self.answers.shadow.run()),
            asyncio.create_task(close_slow_clients()),
        ]
        self.pins.hand_over = self._take_pins
        for thread in self.background:
            thread.start()
        freeze_garbage_collector()
        # A restarted worker answers nobody before it knows whether its embedder lives.
        with suppress(TimeoutError):
            await asyncio.wait_for(self.remote.heartbeat.wait(), EMBEDDER_WAIT_SECONDS)

    def _take_memory(self, new: NewMemory) -> None:
        """Hand a revision from the thread of the poll to the event loop."""
        self.loop.call_soon_threadsafe(self.answers.swap_memory, new)

    def _take_pins(self, pins: Sequence[Pin]) -> None:
        """Hand the pins that answer from the thread of the poll to the event loop."""
        self.loop.call_soon_threadsafe(self.answers.swap_pins, pins)

    async def _warm(self) -> None:
        await self.remote.heartbeat.wait()
        await asyncio.to_thread(
            self.warmer.warm_all, [live.champion for live in self.heads.current.values()]
        )

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]  # BentoML has no type for it
    async def stop(self) -> None:
        self.warmer.use(None)
        for task in self.tasks:
            task.cancel()
        # What the tasks log as they end must be in the journal before it closes.
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.journal.close()
        self.feedback.close()
        for thread in self.background:
            await asyncio.to_thread(thread.stop)
        await self.remote.close()

    async def __is_ready__(self) -> bool:
        return (
            bool(self.heads.current or self.heads.idle)
            and self.remote.heartbeat.alive
            and self.warmer.done
            and self.pins.settled
        )


# BentoML's decorator returns a service, and types it as the class.
Embedder.add_asgi_middleware(  # type: ignore[attr-defined]
    BypassMiddleware, app=embedding, paths=("/raw/",)
)
Classifier.add_asgi_middleware(  # type: ignore[attr-defined]
    BypassMiddleware, app=classifying, paths=BYPASSED_PATHS, pages=BYPASSED_PAGES
)
