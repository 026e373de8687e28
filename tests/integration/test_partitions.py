"""The inference log by month, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.engine import Connection, Engine

from core.database import MIGRATIONS, DatabaseUrls, create_database, migrate, with_driver
from core.feedback import record_feedback
from core.partitions import OTHER, Tidied, tidy_inference
from core.tables.loop import feedback, inference
from flows.watch import tidy_log
from tests.support.processes import wait_until

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
OLD = datetime(2025, 12, 5, tzinfo=UTC)


def log(connection: Connection, request_id: str, moment: datetime) -> None:
    row = {
        "occurred_at": moment,
        "request_id": request_id,
        "version": "1",
        "classifier": "block",
        "role": "champion",
        "phrase": "x",
    }
    row |= {
        "cleaned": "x",
        "label": "a",
        "probability": 0.5,
        "alternatives": [],
        "embedder_id": "e",
        "cached": False,
        "latency_ms": 1.0,
    }
    connection.execute(inference.insert().values(**row, flags=[]))


def correct(connection: Connection, request_id: str) -> None:
    row = {
        "received_at": NOW,
        "request_id": request_id,
        "classifier": "block",
        "label": "b",
        "author": "someone",
    }
    connection.execute(feedback.insert().values(row))


def places(connection: Connection) -> dict[str, str]:
    """Request id -> the partition that holds it."""
    found = connection.execute(
        sa.text("select request_id, tableoid::regclass::text from inference")
    )
    return {row[0]: row[1] for row in found}


@pytest.fixture(scope="module")
def months(database: DatabaseUrls) -> Engine:
    create_database(database.perennial, "months")
    migrate(url := database.sibling("months"))
    return sa.create_engine(with_driver(url, "psycopg"), poolclass=sa.NullPool)


@pytest.fixture
def log_of(months: Engine) -> Engine:
    """A log without rows, corrections and months."""
    with months.begin() as connection:
        connection.execute(sa.text("truncate inference, feedback"))
        for name in set(connection.scalars(MONTHS)) - {OTHER}:
            connection.execute(sa.text(f"drop table {name}"))
    return months


MONTHS = sa.text(
    "select inhrelid::regclass::text from pg_inherits where inhparent = 'inference'::regclass"
)
WAITING = sa.text(
    """
    select exists (
        select from pg_locks join pg_database on database = pg_database.oid
        where datname = 'months' and not granted
    )
    """
)


@contextmanager
def tidying(engine: Engine, *, kept_months: int) -> Iterator[Future[Tidied]]:
    """A tidying that has come as far as it can while the caller's transaction is open."""
    with ThreadPoolExecutor(1) as other, engine.connect() as looking:
        tidied = other.submit(tidy_inference, engine, now=NOW, kept_months=kept_months)
        wait_until(
            lambda: tidied.done() or looking.scalar(WAITING),
            seconds=60,
            what="a wait for the open transaction",
        )
        yield tidied


def test_rows_move_into_their_months_and_future_ones_go_there_at_once(log_of: Engine) -> None:
    with log_of.begin() as connection:
        for name, moment in {
            "jan": datetime(2026, 1, 31, 23, 59, tzinfo=UTC),
            "mar": NOW,
            "far": datetime(2031, 5, 1, tzinfo=UTC),
        }.items():
            log(connection, name, moment)
        assert set(places(connection).values()) == {OTHER}
    assert tidy_inference(log_of, now=NOW, kept_months=36) == Tidied(made=3)
    with log_of.begin() as connection:
        log(connection, "apr", datetime(2026, 4, 1, tzinfo=UTC))
        assert places(connection) == {
            "jan": "inference_2026_01",
            "mar": "inference_2026_03",
            "apr": "inference_2026_04",
            "far": OTHER,
        }
    assert tidy_inference(log_of, now=NOW, kept_months=36) == Tidied()


def test_old_months_go_but_corrected_rows_stay(log_of: Engine) -> None:
    with log_of.begin() as connection:
        for name in ("plain", "corrected"):
            log(connection, name, OLD)
    tidy_inference(log_of, now=datetime(2025, 12, 20, tzinfo=UTC), kept_months=1)
    with log_of.begin() as connection:
        correct(connection, "corrected")
        log(connection, "kept", datetime(2026, 2, 1, tzinfo=UTC))
        log(connection, "late and old", datetime(2020, 1, 1, tzinfo=UTC))
    assert tidy_inference(log_of, now=NOW, kept_months=1) == Tidied(
        made=3, dropped=2, rows_dropped=2
    )
    with log_of.connect() as connection:
        assert places(connection) == {"corrected": OTHER, "kept": "inference_2026_02"}


def test_a_row_is_taken_once_before_and_after_its_month_has_a_partition(log_of: Engine) -> None:
    with log_of.begin() as connection:
        log(connection, "one", NOW)
    tidy_inference(log_of, now=NOW, kept_months=1)
    with log_of.connect() as connection, pytest.raises(sa.exc.IntegrityError):
        log(connection, "one", NOW)


def test_a_row_that_is_just_being_logged_neither_stops_a_new_month_nor_is_lost(
    log_of: Engine,
) -> None:
    with log_of.connect() as logging:
        log(logging, "one", NOW)
        with tidying(log_of, kept_months=36) as tidied:
            logging.commit()
            assert tidied.result(60) == Tidied(made=2)
        assert places(logging) == {"one": "inference_2026_03"}


@pytest.mark.parametrize("month_has_a_partition", [False, True])
def test_a_correction_that_is_just_being_recorded_keeps_its_row(
    log_of: Engine, month_has_a_partition: bool
) -> None:
    for now in (NOW, OLD)[: 1 + month_has_a_partition]:
        tidy_inference(log_of, now=now, kept_months=36)
    with log_of.begin() as connection:
        log(connection, "one", OLD)
    with log_of.connect() as person:
        record_feedback(person, request_id="one", label="b", author="someone", received_at=NOW)
        with tidying(log_of, kept_months=1) as tidied:
            person.commit()
            assert tidied.result(60).rows_dropped == 0
        assert places(person) == {"one": OTHER}


def test_an_old_month_goes_while_others_write_and_neither_has_to_give_way(log_of: Engine) -> None:
    tidy_inference(log_of, now=OLD, kept_months=1)
    with log_of.connect() as logging:
        log(logging, "old", OLD)
        with tidying(log_of, kept_months=1) as tidied:
            log(logging, "far", datetime(2031, 5, 1, tzinfo=UTC))
            logging.commit()
            assert tidied.result(60) == Tidied(made=2, dropped=2, rows_dropped=1)
        assert places(logging) == {"far": OTHER}


def test_the_migration_keeps_the_rows_both_ways(database: DatabaseUrls) -> None:
    create_database(database.perennial, "migrated")
    url = database.sibling("migrated")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = with_driver(url, "psycopg")
    command.upgrade(config, "0001")
    engine = sa.create_engine(with_driver(url, "psycopg"), poolclass=sa.NullPool)
    with engine.begin() as connection:
        log(connection, "one", NOW)
    migrate(url)
    with engine.connect() as connection:
        assert places(connection) == {"one": OTHER}
    command.downgrade(config, "0001")
    with engine.connect() as connection:
        assert places(connection) == {"one": "inference"}


def test_a_watch_of_a_moment_to_come_drops_nothing_that_is_kept_today(log_of: Engine) -> None:
    with log_of.begin() as connection:
        log(connection, "now", datetime.now(UTC))
    loop: Any = SimpleNamespace(engine=log_of, settings=SimpleNamespace(keep_months=1))
    tidy_log(loop, datetime.now(UTC) + timedelta(days=3650))
    with log_of.connect() as connection:
        assert "now" in places(connection)
