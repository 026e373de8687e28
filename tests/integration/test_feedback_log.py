"""Feedback from its journal to PostgreSQL, and from there to the memory and to a snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from bentos.inference_log import feedback as feedback_log
from bentos.inference_log.feedback import (
    RETRY_SECONDS,
    WAIT,
    WAITING,
    FeedbackCounts,
    FeedbackLog,
    FeedbackShipper,
    JournaledFeedback,
)
from bentos.inference_log.shipper import REFUSED
from core.feedback import EXAMPLE
from core.tables.loop import feedback
from monitoring.drift.labelled import phrases_with_feedback
from monitoring.labels.feedback import feedback_rows
from monitoring.labels.received import received_labels
from tests.support.journals import journaled
from tests.support.performances import performance_by_version
from tests.support.traffic import LABELS, log, traffic

NOW = datetime(2026, 2, 1, tzinfo=UTC)
ROWS = traffic(days=1, a_day=30, seed=1).head(10)


@dataclass
class Desk:
    """A journal of feedback and its shipper, with a clock that tests move."""

    folder: Path
    engine: Engine
    now: datetime = NOW
    counts: FeedbackCounts = field(default_factory=FeedbackCounts)

    def __post_init__(self) -> None:
        self.log = FeedbackLog(self.folder, counts=self.counts)
        self.shipper = self.new_shipper()

    def new_shipper(self, engine: Engine | None = None) -> FeedbackShipper:
        return FeedbackShipper(
            self.folder,
            engine=engine or self.engine,
            labels=lambda: {"topic": LABELS},
            counts=self.counts,
            now=lambda: self.now,
        )

    def send(self, request_id: str, label: str = "label03", **changes: Any) -> None:
        row = JournaledFeedback(0, request_id, label, "ada", self.now, **changes)
        assert asyncio.run(self.log.log(row))

    def retry(self, *, after: timedelta = timedelta(0)) -> None:
        self.now += after
        self.shipper._retried_at -= RETRY_SECONDS
        self.shipper.ship()

    def answers_arrive(self) -> None:
        with self.engine.begin() as connection:
            log(connection, ROWS, classifier="topic", version="1")

    def stored(self) -> list[tuple[str, str, str, str]]:
        columns = (feedback.c.request_id, feedback.c.classifier, feedback.c.label, feedback.c.kind)
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(*columns).order_by(feedback.c.id))
            return [tuple(row) for row in rows]

    def refused(self) -> list[bytes]:
        files = [self.folder / REFUSED, self.folder / WAITING / REFUSED]
        return [line for file in files if file.exists() for line in file.read_bytes().splitlines()]


@pytest.fixture
def desk(engine: Engine, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "feedback", engine)
    yield desk
    desk.log.close()
    desk.shipper._waiting.close()


def example(number: int = 0, **changes: Any) -> dict[str, Any]:
    values = {
        "classifier": "topic",
        "kind": EXAMPLE,
        "phrase": f"New Thing {number}",
        "cleaned": f"new thing {number}",
        "occurred_at": NOW - timedelta(days=1),
    }
    return {**values, **changes}


def test_a_label_is_stored_with_the_classifier_of_its_answer(desk: Desk) -> None:
    desk.answers_arrive()
    desk.send("r-000001", kind="correction")
    desk.shipper.ship()
    assert desk.stored() == [("r-000001", "topic", "label03", "correction")]
    assert (desk.counts.stored, desk.counts.waiting, desk.counts.refused) == (1, 0, 0)


def test_a_label_waits_for_an_answer_that_is_still_in_a_journal(desk: Desk) -> None:
    desk.send("r-000001")
    desk.send("other", **example())
    desk.shipper.ship()
    assert [row[0] for row in desk.stored()] == ["other"], "it holds nobody up"
    desk.retry(after=timedelta(hours=1))
    assert (len(desk.stored()), desk.counts.waiting) == (1, 1)
    desk.answers_arrive()
    desk.retry(after=timedelta(hours=1))
    assert [row[0] for row in desk.stored()] == ["other", "r-000001"]
    assert (desk.counts.stored, desk.counts.waiting, desk.refused()) == (2, 0, [])
    with desk.engine.connect() as connection:
        moment = connection.scalar(
            sa.select(feedback.c.received_at).where(feedback.c.request_id == "r-000001")
        )
    assert moment == NOW, "the moment of the request"


def test_what_waits_survives_the_process(desk: Desk, tmp_path: Path) -> None:
    desk.send("r-000001")
    desk.shipper.ship()
    desk.shipper._waiting.close()
    for shipper in (desk.shipper._received, desk.shipper._retried):
        assert shipper._lock is not None
        shipper._lock.close()  # as the end of the process does
    desk.answers_arrive()
    desk.shipper = desk.new_shipper()
    desk.shipper.ship()
    assert [row[0] for row in desk.stored()] == ["r-000001"]


def test_a_label_whose_answer_never_comes_is_refused_after_a_day(desk: Desk) -> None:
    desk.send("r-unknown")
    desk.shipper.ship()
    desk.retry(after=WAIT)
    assert (desk.refused(), desk.counts.waiting) == ([], 1)
    desk.retry(after=timedelta(seconds=1))
    assert [b"r-unknown" in line for line in desk.refused()] == [True]
    assert (desk.stored(), desk.counts.waiting, desk.counts.refused) == ([], 0, 1)


def test_the_wait_begins_when_the_database_is_asked(desk: Desk) -> None:
    desk.send("r-000001")
    desk.now += timedelta(days=3)  # without the database
    desk.shipper.ship()
    desk.answers_arrive()
    desk.retry()
    assert [row[0] for row in desk.stored()] == ["r-000001"]


def test_an_unknown_label_is_refused_and_costs_no_other(desk: Desk) -> None:
    desk.answers_arrive()
    desk.send("r-000001", "no such label")
    desk.send("r-000002")
    desk.send("r-000003", "brand new", new_label=True)
    desk.shipper.ship()
    assert [row[:3:2] for row in desk.stored()] == [
        ("r-000002", "label03"),
        ("r-000003", "brand new"),
    ]
    assert [b"no such label" in line for line in desk.refused()] == [True]
    assert (desk.counts.stored, desk.counts.refused, desk.counts.waiting) == (2, 1, 0)


def test_a_label_that_is_shipped_again_is_stored_once(desk: Desk) -> None:
    desk.answers_arrive()
    desk.send("r-000001")
    desk.send("e-1", **example())
    desk.shipper.ship()
    for position in desk.folder.glob("*.position"):
        position.unlink()  # a crash between commit and position
    desk.shipper.ship()
    assert len(desk.stored()) == 2


def test_nothing_is_lost_while_the_database_is_away(desk: Desk, tmp_path: Path) -> None:
    away = sa.create_engine(f"postgresql+psycopg:///none?host={tmp_path}")
    desk.send("r-000001")
    for shipper in (desk.shipper._received, desk.shipper._retried):
        assert shipper._lock is None, "the first shipper has not begun"
    desk.shipper._engine = away
    with pytest.raises(sa.exc.OperationalError):
        desk.shipper.ship()
    desk.shipper._engine = desk.engine
    desk.answers_arrive()
    desk.shipper.ship()
    assert [row[0] for row in desk.stored()] == ["r-000001"]


def test_more_waiting_feedback_than_its_journal_holds_is_refused(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feedback_log, "JOURNAL_BYTES", 2000)
    desk = Desk(tmp_path / "feedback", engine)
    for number in range(4):
        desk.send(f"r-{number}")
    desk.shipper.ship()
    desk.retry()
    waiting = {row["request_id"] for row in journaled(desk.folder / WAITING)}
    refused = desk.refused()
    assert waiting and refused
    assert all(any(b"r-%d" % n in line for line in refused) or f"r-{n}" in waiting
               for n in range(4))  # fmt: skip
    desk.log.close()
    desk.shipper._waiting.close()


def test_an_example_is_learnt_from_and_judges_no_answer(desk: Desk) -> None:
    desk.answers_arrive()
    desk.send("r-000001", str(ROWS["label"].iloc[1]))
    desk.send("e-1", **example(1, region="north"))
    desk.shipper.ship()
    with desk.engine.connect() as connection:
        rows = feedback_rows(connection, label_columns={"topic": "block"}, received_by=NOW)
        received = received_labels(connection, classifier="topic", received_by=NOW)
        phrases = phrases_with_feedback(connection, "topic", after=0)
    assert rows.filter([value == "e-1" for value in rows["id"].to_pylist()]).to_pylist() == [
        {
            "id": "e-1",
            "phrase": "New Thing 1",
            "occurred_at": NOW - timedelta(days=1),
            "region": "north",
            "block": "label03",
            "origin": "feedback",
        }
    ]
    labels = dict(zip(received["cleaned"], received["head_label"], strict=True))
    assert labels == {ROWS["cleaned"].iloc[1]: ROWS["label"].iloc[1], "new thing 1": ""}
    assert phrases == set(labels)
    quality = performance_by_version(desk.engine, "topic")["1"]
    assert (quality.labelled, quality.right) == (1, 1)
