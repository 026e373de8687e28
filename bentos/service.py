"""The two BentoML services: thin shells around plain Python. `bentoml serve` starts one process of each.

Every option here is a cure: the embedder's connection would be closed every 100 calls, the timeout middleware keeps a
request alive for as long as the timeout, tracing costs more than the rest of a request, metrics label by raw path.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path

import bentoml

from bentos.answers import Answers
from bentos.background import Background
from bentos.caches import EmbeddingCache, LruCache
from bentos.embedding import RemoteEmbedder, embedder_address, embedding_app
from bentos.journal import Journal, JournalCounts
from bentos.live_heads import LiveHeads
from bentos.routes import Parts, classifier_app
from bentos.shipper import Shipper, insert_into
from core.contracts import Deployment
from core.database import connect
from core.deployments import current_champions
from core.logs import configure_logs, get_logger
from core.settings import Settings, load_settings
from pipelines.model.embedder import load_embedder, read_embedder

PACKED = Path(__file__).resolve().parent.parent / "cold"  # beside the code in a bento, absent in the repository
SHIP_SECONDS = 0.25

embedding = embedding_app()
classifying = classifier_app()

_OPTIONS = {
    "workers": 1,
    "traffic": {"timeout": 5},
    "tracing": {"excluded_urls": [".*"]},
    "logging": {"access": {"enabled": False}},
    "metrics": {"enabled": False, "namespace": "bentoml"},
}


@bentoml.service(name="Embedder", threads=1, runner_connection={"max_requests": 10**9, "max_age": 1e9}, **_OPTIONS)
@bentoml.asgi_app(embedding, path="/raw")
class Embedder:
    """One process, one model, one cache for every classifier."""

    def __init__(self) -> None:
        settings = start_process()
        folder = embedder_folder(settings)
        embed = load_embedder(folder)
        embedding.state.cache = EmbeddingCache(embed, embedder_id=str(read_embedder(folder)["embedder_id"]), maximum=settings.cache_phrases)

    @bentoml.on_startup
    def ready(self) -> None:
        rest_from_collecting()


@bentoml.service(name="Classifier", threads=4, **_OPTIONS)
@bentoml.asgi_app(classifying, path="/")
class Classifier:
    """Every classifier; follows `deployment`, ships the journal."""

    embedder = bentoml.depends(Embedder)

    def __init__(self) -> None:
        settings = start_process()
        self.heads = LiveHeads(str(read_embedder(embedder_folder(settings))["embedder_id"]), home=settings.home)
        self.heads.start_cold(PACKED)
        self.remote = RemoteEmbedder(embedder_address(os.environ))
        counts = JournalCounts()
        self.journal = Journal(settings.journal, counts=counts)
        self.background = start_background(settings, heads=self.heads, counts=counts)
        cache: LruCache = LruCache(settings.cache_answers)
        answers = Answers(live=lambda: self.heads.current, embedder=self.remote, journal=self.journal, cache=cache)
        classifying.state.parts = Parts(answers, self.heads, counts, self.remote.stats)

    @bentoml.on_startup
    def ready(self) -> None:
        for thread in self.background:
            thread.start()
        rest_from_collecting()

    @bentoml.on_shutdown
    async def stop(self) -> None:
        self.journal.close()
        for thread in self.background:
            thread.stop()
        await self.remote.close()

    async def __is_ready__(self) -> bool:
        return bool(self.heads.current) and await self.remote.is_ready()


def start_process() -> Settings:
    """Settings and logs of a service process."""
    settings = load_settings()
    configure_logs(settings.log_format)
    return settings


def embedder_folder(settings: Settings) -> Path:
    """The embedder in the bento, else that of the settings."""
    packed = PACKED / "embedder"
    return packed if packed.exists() else settings.embedder


def start_background(settings: Settings, *, heads: LiveHeads, counts: JournalCounts) -> list[Background]:
    """The poll of `deployment` and the shipper; none without a database, when rows wait in the journal."""
    if settings.database_url is None:
        get_logger().warning("service", state="no PERENNIAL_DATABASE_URL: cold heads only, rows stay in the journal")
        return []
    engine = connect(settings.database_url.get_secret_value())
    shipper = Shipper(settings.journal, insert=insert_into(engine), counts=counts)

    def read() -> dict[str, Deployment]:
        with engine.connect() as connection:
            return current_champions(connection)

    return [
        Background(lambda: heads.refresh(read), seconds=settings.poll_seconds, name="deployment poll"),
        Background(shipper.ship, seconds=SHIP_SECONDS, name="journal shipper"),
    ]


def rest_from_collecting() -> None:
    """What exists now lives as long as the process: keep the garbage collector from walking it at every turn."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
