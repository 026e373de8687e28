"""Builds the parts of a service process from its settings."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.engine import Engine

from bentos.answering.answers import AnswerService
from bentos.answering.explaining import Explainer
from bentos.answering.warming import Warmer, read_frequent_from
from bentos.background import Background
from bentos.embedder.contract import EmbedderContract
from bentos.heads.live_heads import LiveHeads
from bentos.heads.memories import MemoryFollower
from bentos.heads.pins import PinFollower
from bentos.heads.refusals import record_refusals
from bentos.heads.retained import Retained
from bentos.inference_log.feedback import FOLDER, FeedbackCounts, FeedbackLog, FeedbackShipper
from bentos.inference_log.journal import Journal, JournalCounts
from bentos.inference_log.shipper import Shipper, insert_into
from core.database import connect
from core.deployments import current_rollouts
from core.errors import SettingsError
from core.feedback import Labels
from core.groups import Group
from core.logs import configure_logs, get_logger
from core.memory_revisions import newest_revisions
from core.settings import Settings, load_settings

# Beside the code in a bento; absent in the repository.
PACKED = Path(__file__).resolve().parent.parent / "cold"
SHIP_SECONDS = 0.25
LOOPBACK = "127.0.0.1"


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
            came=f"{settings.bento} of the {len(settings.groups)} in PERENNIAL_BENTOS",
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


def open_feedback(settings: Settings) -> FeedbackLog:
    """Open the journal of feedback of this process's group."""
    return FeedbackLog(
        settings.journal / FOLDER, counts=FeedbackCounts(), sync=settings.journal_sync
    )


def make_retained(settings: Settings, heads: LiveHeads) -> Retained:
    """Return what loads versions that are requested by number."""
    return Retained(
        lambda: heads.current,
        models=settings.models,
        home=settings.home,
        embedder_id=heads.embedder_id,
    )


def make_explainer(
    settings: Settings, answers: AnswerService, heads: LiveHeads, embedder: EmbedderContract
) -> Explainer:
    """Return what explains answers, with the memories and pins of the answers."""
    return Explainer(
        live=lambda: heads.current,
        embedder=embedder,
        memories=answers.memories,
        pins=answers.pins,
        models=settings.models,
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


def start_pins(
    settings: Settings, answers: AnswerService, serves: Callable[[str], bool]
) -> PinFollower:
    """Answer with the pins known last; return what follows them."""
    pins = PinFollower(settings.caches, answers.swap_pins, serves=serves)
    pins.start_cold(PACKED, now=datetime.now(UTC))
    return pins


def follow_database(
    settings: Settings,
    engine: Engine | None,
    *,
    heads: LiveHeads,
    memories: MemoryFollower,
    pins: PinFollower,
) -> list[Background]:
    """Return the poll of versions, memories and pins; without a database, pins only end."""

    def follow() -> None:
        now = datetime.now(UTC)
        pins.retire(now=now)
        try:
            if engine is not None:
                follow_tables(engine, now)
        finally:
            pins.settled = True

    def follow_tables(engine: Engine, now: datetime) -> None:
        with engine.connect() as connection:
            rollouts = current_rollouts(connection)
            revisions = newest_revisions(connection)
            pins.refresh(connection, now=now)
        memories.refresh(revisions)
        heads.refresh(lambda: rollouts)
        heads.report_refusals(lambda refusals: record_refusals(engine, refusals))
        pins.save()

    return [Background(follow, seconds=settings.poll_seconds, name="deployment poll")]


def ship_journals(
    settings: Settings,
    engine: Engine | None,
    *,
    heads: LiveHeads,
    counts: JournalCounts,
    feedback: FeedbackCounts,
) -> list[Background]:
    """Return the shippers; nothing without a database.

    The first group also ships the journals of groups that no longer exist.
    """
    if engine is None:
        return []
    folders = [settings.journal]
    if settings.bento == 1:
        folders += abandoned_journals(settings)

    def shipping(folder: Path) -> Background:
        answers = Shipper(folder, insert=insert_into(engine), counts=counts)
        labels = FeedbackShipper(
            folder / FOLDER,
            engine=engine,
            labels=lambda: _known_labels(heads),
            counts=feedback,
            sync=settings.journal_sync,
        )

        def ship() -> None:
            answers.ship()
            labels.ship()  # they may be about the answers just shipped

        return Background(ship, seconds=SHIP_SECONDS, name="journal shipper")

    return [shipping(folder) for folder in folders]


def _known_labels(heads: LiveHeads) -> Labels:
    return {name: rollout.champion.labels for name, rollout in heads.current.items()}


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
