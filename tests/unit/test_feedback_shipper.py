"""The shipper of feedback, on tables without PostgreSQL."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from bentos.heads.live_heads import LiveHeads
from bentos.inference_log import feedback as feedback_log
from bentos.inference_log.feedback import (
    FOLDER,
    WAITING,
    FeedbackCounts,
    FeedbackShipper,
    JournaledFeedback,
)
from bentos.inference_log.journal import JournalCounts, encode_rows
from bentos.inference_log.shipper import REFUSED
from bentos.wiring import ship_journals
from core.feedback import EXAMPLE
from core.settings import load_settings
from tests.support.journals import journaled

NOW = datetime(2026, 2, 1, tzinfo=UTC)
TABLES = (
    "create table inference (request_id text, classifier text, role text)",
    "create table feedback (id integer primary key, received_at timestamp, request_id text,"
    " classifier text, label text, author text, kind text, probability double, phrase text,"
    " cleaned text, occurred_at timestamp, region text, source_row text)",
)


@pytest.fixture
def tables(tmp_path: Path) -> Engine:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'tables.db'}")
    with engine.begin() as connection:
        for statement in TABLES:
            connection.execute(sa.text(statement))
    return engine


def example(number: int, label: str) -> JournaledFeedback:
    """A label with a phrase of its own."""
    return JournaledFeedback(
        0,
        f"e-{number}",
        label,
        "ada",
        NOW,
        classifier="topic",
        kind=EXAMPLE,
        phrase="New",
        cleaned="new",
        occurred_at=NOW,
    )


def ship(engine: Engine, folder: Path) -> tuple[FeedbackCounts, int]:
    """Ship the received rows; return the counts and the number of transactions."""
    counts = FeedbackCounts()
    begun: list[object] = []
    sa.event.listen(engine, "begin", begun.append)
    shipper = FeedbackShipper(
        folder, engine=engine, labels=lambda: {"topic": ["right"]}, counts=counts, now=lambda: NOW
    )
    shipper._received.ship()
    shipper._waiting.close()
    return counts, len(begun)


def write_rows(folder: Path, rows: list[JournaledFeedback]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "0-1.jsonl").write_bytes(encode_rows([msgspec.json.encode(row) for row in rows]))


@pytest.mark.parametrize("synced", [True, False])
def test_a_label_that_waits_reaches_the_disk_when_the_settings_say_so(
    tables: Engine, tmp_home: Path, monkeypatch: pytest.MonkeyPatch, *, synced: bool
) -> None:
    settings = load_settings(home=tmp_home, journal_sync=synced)
    write_rows(settings.journal / FOLDER, [JournaledFeedback(0, "r-1", "label", "ada", NOW)])
    syncs: list[int] = []
    monkeypatch.setattr(os, "fdatasync", syncs.append)
    [shipper] = ship_journals(
        settings,
        tables,
        heads=LiveHeads("embedder", tmp_home),
        counts=JournalCounts(),
        feedback=FeedbackCounts(),
    )
    shipper.start()
    shipper.stop()
    waiting = journaled(settings.journal / FOLDER / WAITING)
    assert {row["request_id"] for row in waiting} == {"r-1"}
    assert bool(syncs) == synced


def test_labels_that_are_known_to_be_refused_cost_one_transaction(
    tables: Engine, tmp_path: Path
) -> None:
    labels = ["wrong"] * 200 + ["right"] + ["wrong"] * 200
    write_rows(tmp_path, [example(number, label) for number, label in enumerate(labels)])
    counts, transactions = ship(tables, tmp_path)
    assert (counts.stored, counts.refused, counts.waiting, transactions) == (1, 400, 0, 1)
    refused = map(msgspec.json.decode, (tmp_path / REFUSED).read_bytes().splitlines())
    assert [row["label"] for row in refused] == ["wrong"] * 400


def test_labels_that_find_no_room_to_wait_cost_one_transaction(
    tables: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feedback_log, "JOURNAL_BYTES", 1000)
    rows = [JournaledFeedback(0, f"r-{number}", "right", "ada", NOW) for number in range(100)]
    write_rows(tmp_path, [*rows, example(1, "right")])
    counts, transactions = ship(tables, tmp_path)
    assert (counts.stored, counts.refused, counts.waiting, transactions) == (1, 100, 0, 1)
