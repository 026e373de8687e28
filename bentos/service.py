"""The two BentoML services: thin shells around plain Python; `bentoml serve` runs both."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import bentoml
from sqlalchemy.engine import Engine

from bentos.answering.answers import AnswerService, answer_cache
from bentos.answering.warming import Warmer, read_frequent_from
from bentos.background import Background
from bentos.embedder.cache import EmbeddingCache
from bentos.embedder.cache_file import EmbeddingCacheFile
from bentos.embedder.client import RemoteEmbedder, embedder_address
from bentos.embedder.server import embedding_app
from bentos.heads.live_heads import LiveHeads
from bentos.heads.refusals import record_refusals
from bentos.heads.retained import Retained
from bentos.http.app import OURS, ClassifierApp
from bentos.http.endpoint import AppState
from bentos.http.slow_clients import close_slow_clients
from bentos.inference_log.journal import Journal, JournalCounts
from bentos.inference_log.shipper import Shipper, insert_into
from bentos.keys import Keys, require_keys_beyond_loopback
from bentos.vendor_patches.bentoml_middleware import BypassMiddleware
from core.database import connect
from core.deployments import current_rollouts
from core.errors import SettingsError
from core.groups import Group
from core.logs import configure_logs, get_logger
from core.settings import Settings, load_settings
from pipelines.model.embedder import load_embedder, read_embedder

# Beside the code in a bento; absent in the repository.
PACKED = Path(__file__).resolve().parent.parent / "cold"
SHIP_SECONDS = 0.25
SAVE_SECONDS = 300.0  # a killed process loses at most so much of its caches
EMBEDDER_WAIT_SECONDS = 1.0  # at startup; without an embedder the answer cache still answers
LOOPBACK = "127.0.0.1"

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
        keys = Keys(settings.api_keys_file)
        engine = open_engine(settings)

        self.heads = LiveHeads(
            embedder_id, home=settings.home, serves=served_group(settings).serves
        )
        self.heads.start_cold(PACKED)
        self.remote = RemoteEmbedder(
            embedder_address(os.environ),
            dimensions=int(embedder["dimensions"]),
            seconds=settings.answer_seconds,
        )
        self.journal = open_journal(settings, counts)
        answers = AnswerService(
            live=lambda: self.heads.current,
            embedder=self.remote,
            journal=self.journal,
            cache=answer_cache(settings.cache_answers),
        )
        self.shadow = answers.shadow
        self.warmer = make_warmer(settings, answers, engine)
        self.heads.prepare = self.warmer.warm
        retained = Retained(
            lambda: self.heads.current,
            models=settings.models,
            home=settings.home,
            embedder_id=embedder_id,
        )

        self.background = [
            Background(keys.refresh, seconds=settings.poll_seconds, name="api keys"),
            Background(self.warmer.save, seconds=SAVE_SECONDS, name="phrases kept"),
            *follow_database(settings, engine, heads=self.heads, counts=counts),
        ]
        classifying.state.app_state = AppState(
            answers, self.heads, counts, self.remote.stats, keys, retained
        )

    @bentoml.on_startup  # type: ignore[untyped-decorator]  # BentoML has no type for it
    async def ready(self) -> None:
        self.remote.heartbeat.start()
        self.warmer.use(asyncio.get_running_loop())
        self.tasks = [
            asyncio.create_task(self._warm()),
            asyncio.create_task(self.shadow.run()),
            asyncio.create_task(close_slow_clients()),
        ]
        for thread in self.background:
            thread.start()
        freeze_garbage_collector()
        # A restarted worker answers nobody before it knows whether its embedder lives.
        with suppress(TimeoutError):
            await asyncio.wait_for(self.remote.heartbeat.wait(), EMBEDDER_WAIT_SECONDS)

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
        for thread in self.background:
            await asyncio.to_thread(thread.stop)
        await self.remote.close()

    async def __is_ready__(self) -> bool:
        return (
            bool(self.heads.current or self.heads.idle)
            and self.remote.heartbeat.alive
            and self.warmer.done
        )


Embedder.add_asgi_middleware(BypassMiddleware, app=embedding, paths=("/raw/",))  # type: ignore[attr-defined]  # BentoML types it as the plain class
Classifier.add_asgi_middleware(BypassMiddleware, app=classifying, paths=OURS)  # type: ignore[attr-defined]  # see above


def start_process() -> Settings:
    """Configure the logs of a service process; return its settings."""
    settings = load_settings()
    configure_logs(settings.log_format)
    return settings


def served_group(settings: Settings) -> Group:
    """Return the group of classifiers of this process. Raises `SettingsError`."""
    if settings.bento > len(settings.groups):
        raise SettingsError(
            "PERENNIAL_BENTO to be the number of a group",
            came=f"{settings.bento}, and PERENNIAL_BENTOS has {len(settings.groups)}",
            do="leave it to `perennial serve`",
        )
    return settings.groups[settings.bento - 1]


def embedder_folder(settings: Settings) -> Path:
    """Return the embedder in the bento, else that of the settings."""
    packed = PACKED / "embedder"
    return packed if packed.exists() else settings.embedder


def listening_host(argv: Sequence[str]) -> str:
    """Return the address of the socket that BentoML gave this worker (`--fd N`).

    Without a socket, or with a unix socket, it is loopback.
    """
    if "--fd" not in argv:
        return LOOPBACK
    descriptor = int(argv[argv.index("--fd") + 1])
    with socket.socket(fileno=os.dup(descriptor)) as listener:
        return LOOPBACK if listener.family == socket.AF_UNIX else str(listener.getsockname()[0])


def open_engine(settings: Settings) -> Engine | None:
    """Return the engine, or None: then only cold heads answer, and rows wait in the journal."""
    if settings.database_url is None:
        get_logger().warning(
            "service", state="no PERENNIAL_DATABASE_URL: cold heads only, rows stay in the journal"
        )
        return None
    return connect(settings.database_url.get_secret_value())


def open_journal(settings: Settings, counts: JournalCounts) -> Journal:
    """Open the journal of this process's group."""
    return Journal(
        settings.journal,
        counts=counts,
        maximum=settings.journal_mb * 2**20,
        sync=settings.journal_sync,
    )


def make_warmer(settings: Settings, answers: AnswerService, engine: Engine | None) -> Warmer:
    """Return what warms from the saved phrases, or from the inference log."""
    frequent = None
    if engine and settings.warm_seconds:
        frequent = read_frequent_from(engine, seconds=settings.warm_seconds)
    return Warmer(
        answers,
        folder=settings.caches,
        phrases=settings.warm_phrases,
        seconds=settings.warm_seconds,
        frequent=frequent,
    )


def follow_database(
    settings: Settings, engine: Engine | None, *, heads: LiveHeads, counts: JournalCounts
) -> list[Background]:
    """Return the poll of `deployment` and the shippers; nothing without a database.

    The first group also ships the journals of groups that no longer exist.
    """
    if engine is None:
        return []
    folders = [settings.journal]
    if settings.bento == 1:
        folders += abandoned_journals(settings)
    shippers = [Shipper(folder, insert=insert_into(engine), counts=counts) for folder in folders]

    def follow() -> None:
        with engine.connect() as connection:
            rollouts = current_rollouts(connection)
        heads.refresh(lambda: rollouts)
        heads.report_refusals(lambda refusals: record_refusals(engine, refusals))

    return [
        Background(follow, seconds=settings.poll_seconds, name="deployment poll"),
        *(
            Background(shipper.ship, seconds=SHIP_SECONDS, name="journal shipper")
            for shipper in shippers
        ),
    ]


def abandoned_journals(settings: Settings) -> list[Path]:
    """Return the journals of groups that the settings no longer have."""
    served = {
        settings.model_copy(update={"bento": group.number}).journal for group in settings.groups
    }
    return [folder for folder in settings.journals if folder not in served]


def freeze_garbage_collector() -> None:
    """Exempt what exists now from garbage collection: it lives as long as the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
