"""The inference log by month, on a real PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.engine import Connection, Engine

from core.database import MIGRATIONS, DatabaseUrls, create_database, migrate, with_driver
from core.partitions import OTHER, Tidied, tidy_inference
from core.tables import feedback, inference
from tests.serving_kit import wait_until

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)


def log(connection: Connection, request_id: str, moment: datetime) -> None:
    row = {"occurred_at": moment, "request_id": request_id, "version": "1", "classifier": "block", "role": "champion", "phrase": "x"}
    row |= {"cleaned": "x", "label": "a", "probability": 0.5, "alternatives": [], "embedder_id": "e", "cached": False, "latency_ms": 1.0}
    connection.execute(inference.insert().values(**row, flags=[]))


def correct(connection: Connection, request_id: str) -> None:
    row = {"received_at": NOW, "request_id": request_id, "classifier": "block", "label": "b", "author": "someone"}
    connection.execute(feedback.insert().values(row))


def places(connection: Connection) -> dict[str, str]:
    """Request id -> the partition that holds it."""
    found = connection.execute(sa.text("select request_id, tableoid::regclass::text from inference"))
    return {row[0]: row[1] for row in found}


@pytest.fixture
def connection(engine: Engine) -> Connection:
    """Everything that a test does is undone, tables included."""
    with engine.connect() as connection:
        yield connection
        connection.rollback()


def test_rows_move_into_their_months_and_future_ones_go_there_at_once(connection: Connection) -> None:
    for name, moment in {"jan": datetime(2026, 1, 31, 23, 59, tzinfo=UTC), "mar": NOW, "far": datetime(2031, 5, 1, tzinfo=UTC)}.items():
        log(connection, name, moment)
    assert set(places(connection).values()) == {OTHER}
    assert tidy_inference(connection, now=NOW, kept_months=36) == Tidied(made=3)
    log(connection, "apr", datetime(2026, 4, 1, tzinfo=UTC))
    assert places(connection) == {
        "jan": "inference_2026_01",
        "mar": "inference_2026_03",
        "apr": "inference_2026_04",
        "far": OTHER,
    }
    assert tidy_inference(connection, now=NOW, kept_months=36) == Tidied()


def test_old_months_go_but_corrected_rows_stay(connection: Connection) -> None:
    for name in ("plain", "corrected"):
        log(connection, name, datetime(2025, 12, 5, tzinfo=UTC))
    tidy_inference(connection, now=datetime(2025, 12, 20, tzinfo=UTC), kept_months=1)
    correct(connection, "corrected")
    log(connection, "kept", datetime(2026, 2, 1, tzinfo=UTC))
    log(connection, "late and old", datetime(2020, 1, 1, tzinfo=UTC))
    assert tidy_inference(connection, now=NOW, kept_months=1) == Tidied(made=3, dropped=2, rows_dropped=2)
    assert places(connection) == {"corrected": OTHER, "kept": "inference_2026_02"}


def test_a_row_is_taken_once_before_and_after_its_month_has_a_partition(connection: Connection) -> None:
    log(connection, "one", NOW)
    tidy_inference(connection, now=NOW, kept_months=1)
    with pytest.raises(sa.exc.IntegrityError):
        log(connection, "one", NOW)


def test_a_row_that_is_just_being_logged_neither_stops_a_new_month_nor_is_lost(database: DatabaseUrls) -> None:
    create_database(database.perennial, "raced")
    migrate(url := database.sibling("raced"))
    engine = sa.create_engine(with_driver(url, "psycopg"), poolclass=sa.NullPool)
    waiting = sa.text(
        "select exists (select from pg_locks join pg_database on database = pg_database.oid where datname = 'raced' and not granted)"
    )

    def tidy() -> Tidied:
        with engine.begin() as connection:
            return tidy_inference(connection, now=NOW, kept_months=36)

    with ThreadPoolExecutor(1) as other, engine.connect() as logging, engine.connect() as looking:
        log(logging, "one", NOW)
        tidied = other.submit(tidy)
        wait_until(lambda: tidied.done() or looking.scalar(waiting), seconds=60, what="a wait for the row's transaction")
        logging.commit()
        assert tidied.result(60) == Tidied(made=2)
    with engine.connect() as connection:
        assert places(connection) == {"one": "inference_2026_03"}


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
