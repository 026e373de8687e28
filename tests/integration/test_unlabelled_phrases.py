"""The phrases that a snapshot takes from the log: asked by clients, judged by nobody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from core.contracts import LOADTEST_KEY
from core.database import DatabaseUrls, connect
from core.feedback import NONE_OF_THESE, record_feedback
from core.params.schema import load_params
from core.settings import load_settings
from core.tables.loop import inference
from core.tables.pins import pin
from flows.context import LoopContext
from flows.snapshot import write_snapshots
from monitoring.labels.unlabelled import read_unlabelled_phrases, unlabelled_phrases
from pipelines.snapshot_files import UNLABELLED
from pipelines.unlabelled import NOT_DRAWN, read_unlabelled
from tests.support.inferences import inference as logged
from tests.support.places import free_port

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PARAMS = """
classifiers:
  organ:
    source: {from: notes.csv, query: queries/notes.sql, label: organ}
    SELF
"""


@pytest.fixture
def log(engine: Engine) -> Iterator[Connection]:
    """Answers to five phrases, of which the first is asked three times."""
    rows = [("often", 1), ("often", 2), ("often", 3), ("labelled", 4), ("none fits", 5)]
    rows += [("pinned", 6), ("once", 7)]
    with engine.connect() as connection:
        connection.execute(pin.delete())
        for phrase, number in rows:
            _answer(connection, number, phrase)
        yield connection


def _answer(connection: Connection, number: int, phrase: str, **changes: object) -> None:
    row = logged(number, cleaned=phrase, occurred_at=NOW - timedelta(days=1))
    connection.execute(inference.insert(), {**asdict(row), **changes})


def _say(connection: Connection, request: str, label: str, kind: str) -> None:
    record_feedback(
        connection, request_id=request, label=label, author="ada", received_at=NOW, kind=kind
    )


def test_phrases_come_with_counts_without_those_that_people_judged(log: Connection) -> None:
    _say(log, "request-4", "lung", "correction")
    _say(log, "request-5", "", NONE_OF_THESE)
    log.execute(
        pin.insert().values(
            classifier="organ", cleaned="pinned", label="lung", since=NOW, author="ada", why="test"
        )
    )
    asked = unlabelled_phrases(log, "organ", days=30, as_of=NOW)
    assert dict(zip(asked.cleaned, asked.asks, strict=True)) == {"often": 3, "once": 1}


def test_a_label_that_came_after_the_snapshot_does_not_count(log: Connection) -> None:
    record_feedback(
        log, request_id="request-4", label="lung", author="ada",
        received_at=NOW + timedelta(hours=1), kind="correction",
    )  # fmt: skip
    assert "labelled" in unlabelled_phrases(log, "organ", days=30, as_of=NOW).cleaned


def test_only_recent_answers_to_clients_of_the_classifier_count(log: Connection) -> None:
    _answer(log, 11, "old", occurred_at=NOW - timedelta(days=31))
    _answer(log, 12, "later", occurred_at=NOW + timedelta(days=1))
    _answer(log, 13, "shadowed", role="shadow")
    _answer(log, 14, "loaded", routing_key=f"{LOADTEST_KEY}1")
    _answer(log, 15, "elsewhere", classifier="course")
    asked = unlabelled_phrases(log, "organ", days=30, as_of=NOW)
    assert set(asked.cleaned) == {"often", "labelled", "none fits", "pinned", "once"}


def test_a_log_that_is_away_gives_no_phrase_and_the_reason() -> None:
    away = connect(f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    asked = read_unlabelled_phrases(away, "organ", days=30, as_of=NOW)
    assert asked.cleaned == ()
    assert asked.problem.startswith("the log could not be read: ")


def test_a_log_that_refuses_the_query_gives_no_phrase_either(log: Connection) -> None:
    """The statement is cancelled, as by a server that is too slow."""
    log.commit()
    slow = sa.create_engine(
        log.engine.url, connect_args={"options": "-c statement_timeout=1"}, poolclass=sa.NullPool
    )
    log.execute(sa.text("lock table inference in access exclusive mode"))
    assert (
        "canceling statement" in read_unlabelled_phrases(slow, "organ", days=30, as_of=NOW).problem
    )


def place(folder: Path, database: DatabaseUrls, engine: Engine, *, block: str) -> LoopContext:
    """A repository whose source labels the phrase "often"."""
    (folder / "queries").mkdir(parents=True, exist_ok=True)
    query = "select text as phrase, '2026-02-01' as occurred_at, organ from notes"
    (folder / "queries" / "notes.sql").write_text(query)
    (folder / "notes.csv").write_text("text,organ\nOften,heart\n")
    (folder / "params.yaml").write_text(PARAMS.replace("SELF", block))
    settings = load_settings(repository=folder, home=folder / "home")
    return LoopContext(settings, database, engine, load_params(folder / "params.yaml"))


@contextmanager
def unreadable(engine: Engine, table: str) -> Iterator[None]:
    with engine.begin() as connection:
        connection.execute(sa.text(f"alter table {table} rename to {table}_away"))
    try:
        yield
    finally:
        with engine.begin() as connection:
            connection.execute(sa.text(f"alter table {table}_away rename to {table}"))


def test_a_snapshot_takes_them_with_the_block_alone(
    log: Connection, tmp_path: Path, database: DatabaseUrls, engine: Engine
) -> None:
    log.commit()
    context = place(tmp_path, database, engine, block="self_training: {max_phrases: 2}")
    data = tmp_path / "data"
    [snapshot] = write_snapshots(context, data, ["organ"], as_of=NOW)
    folder = data / snapshot.dataset
    taken = read_unlabelled(folder, "organ")
    assert len(taken.cleaned) == 2 and "often" not in taken.cleaned
    first = (folder / UNLABELLED).read_bytes()
    write_snapshots(context, data, ["organ"], as_of=NOW)
    assert (folder / UNLABELLED).read_bytes() == first

    off = place(tmp_path, database, engine, block="purpose: none")
    write_snapshots(off, data, ["organ"], as_of=NOW)
    assert not (folder / UNLABELLED).exists()
    assert read_unlabelled(folder, "organ").problem == NOT_DRAWN


def test_a_snapshot_goes_on_without_them_when_the_log_cannot_be_read(
    log: Connection, tmp_path: Path, database: DatabaseUrls, engine: Engine
) -> None:
    log.commit()
    context = place(tmp_path, database, engine, block="self_training: {}")
    with unreadable(engine, "pin"):
        [snapshot] = write_snapshots(context, tmp_path / "data", ["organ"], as_of=NOW)
    taken = read_unlabelled(tmp_path / "data" / snapshot.dataset, "organ")
    assert (snapshot.rows, taken.cleaned) == (1, ())
    assert taken.problem.startswith("the log could not be read: ")
