"""The two BentoML services: thin shells around plain Python. `bentoml serve` starts one process of each.

Every option here is a cure: the embedder's connection would be closed every 100 calls, the timeout middleware keeps a
request alive for as long as the timeout, tracing costs more than the rest of a request, metrics label by raw path.
"""

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

PACKED = (
    Path(__file__).resolve().parent.parent / "cold"
)  # beside the code in a bento, absent in the repository
SHIP_SECONDS = 0.25
SAVE_SECONDS = 300.0  # what a killed process forgets of its caches at most
GREET_SECONDS = 1.0  # at most: without an embedder the first level still answers
LOOPBACK = "127.0.0.1"

embedding = embedding_app()
classifying = ClassifierApp()

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
    runner_connection={"max_requests": 10**9, "max_age": 1e9},
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
        kept = EmbeddingCacheFile(settings.caches, cache, embedder_id=embedder_id)
        kept.restore()
        embedding.state.cache = cache
        self.saving = Background(kept.save, seconds=SAVE_SECONDS, name="embeddings kept")

    @bentoml.on_startup
    def ready(self) -> None:
        self.saving.start()
        freeze_garbage_collector()

    @bentoml.on_shutdown
    def stop(self) -> None:
        self.saving.stop()


@bentoml.service(name="Classifier", threads=4, **_OPTIONS)
@bentoml.asgi_app(classifying, path="/")
class Classifier:
    """Every classifier; follows `deployment`, ships the journal."""

    embedder = bentoml.depends(Embedder)

    def __init__(self) -> None:
        settings = start_process()
        require_keys_beyond_loopback(listening_host(sys.argv), settings.api_keys_file)
        facts, counts, keys = (
            read_embedder(embedder_folder(settings)),
            JournalCounts(),
            Keys(settings.api_keys_file),
        )
        self.heads = LiveHeads(
            str(facts["embedder_id"]), home=settings.home, serves=served_group(settings).serves
        )
        self.heads.start_cold(PACKED)
        self.remote = RemoteEmbedder(
            embedder_address(os.environ),
            dimensions=int(facts["dimensions"]),
            seconds=settings.answer_seconds,
        )
        self.journal = Journal(
            settings.journal,
            counts=counts,
            maximum=settings.journal_mb * 2**20,
            sync=settings.journal_sync,
        )
        cache = answer_cache(settings.cache_answers)
        answers = AnswerService(
            live=lambda: self.heads.current, embedder=self.remote, journal=self.journal, cache=cache
        )
        engine = open_engine(settings)
        self.warmer = make_warmer(settings, answers, engine)
        self.heads.prepare, self.shadow = self.warmer.warm, answers.shadow
        retained = Retained(
            lambda: self.heads.current,
            models=settings.models,
            home=settings.home,
            embedder_id=str(facts["embedder_id"]),
        )
        self.background = [
            Background(keys.refresh, seconds=settings.poll_seconds, name="api keys"),
            Background(self.warmer.save, seconds=SAVE_SECONDS, name="phrases kept"),
            *(follow_database(settings, engine, heads=self.heads, counts=counts) if engine else ()),
        ]
        classifying.state.app_state = AppState(
            answers, self.heads, counts, self.remote.stats, keys, retained
        )

    @bentoml.on_startup
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
        with suppress(
            TimeoutError
        ):  # a worker that is back answers nobody before it knows that its embedder lives
            await asyncio.wait_for(self.remote.heartbeat.wait(), GREET_SECONDS)

    async def _warm(self) -> None:
        await self.remote.heartbeat.wait()
        await asyncio.to_thread(
            self.warmer.warm_all, [live.champion for live in self.heads.current.values()]
        )

    @bentoml.on_shutdown
    async def stop(self) -> None:
        self.warmer.use(None)
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(
            *self.tasks, return_exceptions=True
        )  # what they log on their way out is in the journal before it closes
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


Embedder.add_asgi_middleware(BypassMiddleware, app=embedding, paths=("/raw/",))  # type: ignore[attr-defined]
Classifier.add_asgi_middleware(BypassMiddleware, app=classifying, paths=OURS)  # type: ignore[attr-defined]


def start_process() -> Settings:
    """Settings and logs of a service process."""
    settings = load_settings()
    configure_logs(settings.log_format)
    return settings


def served_group(settings: Settings) -> Group:
    """The classifiers of this process. Raises `SettingsError`."""
    if settings.bento > len(settings.groups):
        came = f"{settings.bento}, and PERENNIAL_BENTOS has {len(settings.groups)}"
        raise SettingsError(
            "PERENNIAL_BENTO to be the number of a group",
            came=came,
            do="leave it to `perennial serve`",
        )
    return settings.groups[settings.bento - 1]


def embedder_folder(settings: Settings) -> Path:
    """The embedder in the bento, else that of the settings."""
    packed = PACKED / "embedder"
    return packed if packed.exists() else settings.embedder


def listening_host(argv: Sequence[str]) -> str:
    """The address of the socket that BentoML gave this worker (`--fd N`); loopback when there is none or it is a unix socket."""
    if "--fd" not in argv:
        return LOOPBACK
    with socket.socket(fileno=os.dup(int(argv[argv.index("--fd") + 1]))) as listener:
        return LOOPBACK if listener.family == socket.AF_UNIX else str(listener.getsockname()[0])


def open_engine(settings: Settings) -> Engine | None:
    """The database's engine; without a database only cold heads answer, and rows wait in the journal."""
    if settings.database_url is None:
        get_logger().warning(
            "service", state="no PERENNIAL_DATABASE_URL: cold heads only, rows stay in the journal"
        )
        return None
    return connect(settings.database_url.get_secret_value())


def make_warmer(settings: Settings, answers: AnswerService, engine: Engine | None) -> Warmer:
    """Warm from the kept phrases, or from the log."""
    frequent = (
        read_frequent_from(engine, seconds=settings.warm_seconds)
        if engine and settings.warm_seconds
        else None
    )
    return Warmer(
        answers,
        folder=settings.caches,
        phrases=settings.warm_phrases,
        seconds=settings.warm_seconds,
        frequent=frequent,
    )


def follow_database(
    settings: Settings, engine: Engine, *, heads: LiveHeads, counts: JournalCounts
) -> list[Background]:
    """The poll of `deployment` and the shipper; the first group ships what groups that are no more left behind."""
    folders = [settings.journal, *(left_journals(settings) if settings.bento == 1 else ())]
    shippers = [Shipper(folder, insert=insert_into(engine), counts=counts) for folder in folders]

    def follow() -> None:
        with engine.connect() as connection:
            rollouts = current_rollouts(connection)
        heads.refresh(lambda: rollouts)
        heads.tell(lambda refusals: record_refusals(engine, refusals))

    return [
        Background(follow, seconds=settings.poll_seconds, name="deployment poll"),
        *(Background(one.ship, seconds=SHIP_SECONDS, name="journal shipper") for one in shippers),
    ]


def left_journals(settings: Settings) -> list[Path]:
    """Journals of groups that the settings no longer have."""
    served = {
        settings.model_copy(update={"bento": group.number}).journal for group in settings.groups
    }
    return [folder for folder in settings.journals if folder not in served]


def freeze_garbage_collector() -> None:
    """What exists now lives as long as the process: keep the garbage collector from walking it at every turn."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
