"""The distinct phrases follow the log, cost no answer, and leave with the last row."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from bentos.inference_log.shipper import insert_into
from core.database import MIGRATIONS, DatabaseUrls, create_database, migrate, with_driver
from core.partitions import tidy_inference
from core.tables.loop import inference
from core.tables.phrases import PARTS_INDEX, distinct_phrase
from monitoring.answers import Search, search_answers
from tests.support.inferences import row

OLD = datetime(2025, 1, 5, tzinfo=UTC)
NOW = datetime(2026, 3, 15, tzinfo=UTC)


def phrases(connection: Connection) -> list[tuple[str, str]]:
    table = distinct_phrase.c
    query = sa.select(table.classifier, table.cleaned).order_by(table.classifier, table.cleaned)
    return [tuple(found) for found in connection.execute(query)]


def test_every_phrase_of_a_classifier_is_stored_once(engine: Engine) -> None:
    ship = insert_into(engine)
    ship([row(1, cleaned="cough"), row(2, cleaned="cough"), row(3, cleaned="fever")])
    ship([row(4, cleaned="cough"), row(5, cleaned="cough", classifier="block")])
    with engine.connect() as connection:
        assert phrases(connection) == [
            ("block", "cough"),
            ("organ", "cough"),
            ("organ", "fever"),
        ]


def test_a_phrase_longer_than_an_index_entry_is_stored_and_found(engine: Engine) -> None:
    long = " ".join(f"{number:x}" for number in range(4_000))
    insert_into(engine)([row(1, cleaned=long)])
    with engine.connect() as connection:
        [found] = search_answers(connection, Search("organ", text="f9f"))
        assert found.request_id == "request-1"


def test_a_failure_of_the_search_table_loses_no_row_of_the_log(engine: Engine) -> None:
    """The table is unusable while the rows arrive; only the search misses their phrase."""
    with engine.begin() as connection:
        connection.execute(sa.text("alter table distinct_phrase add check (cleaned <> 'broken')"))
    try:
        assert insert_into(engine)([row(1, cleaned="broken"), row(2, cleaned="fine")]) == []
    finally:
        with engine.begin() as connection:
            connection.execute(
                sa.text("alter table distinct_phrase drop constraint distinct_phrase_cleaned_check")
            )
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(inference)) == 2
        assert phrases(connection) == []
        assert [found.request_id for found in search_answers(connection, Search("organ"))] == [
            "request-2",
            "request-1",
        ]


@pytest.fixture
def months(database: DatabaseUrls) -> Iterator[Engine]:
    """A database of its own: its months are dropped."""
    create_database(database.perennial, "phrases")
    url = database.sibling("phrases")
    migrate(url)
    engine = sa.create_engine(with_driver(url, "psycopg"), poolclass=sa.NullPool)
    yield engine
    with sa.create_engine(
        with_driver(database.perennial, "psycopg"), isolation_level="AUTOCOMMIT"
    ).connect() as connection:
        connection.execute(sa.text("drop database phrases"))


def ship_months(engine: Engine) -> None:
    tidy_inference(engine, now=OLD, kept_months=36)
    insert_into(engine)(
        [
            row(1, cleaned="only then", occurred_at=OLD),
            row(2, cleaned="both", occurred_at=OLD),
            row(3, cleaned="both", occurred_at=NOW),
        ]
    )


def test_phrases_leave_with_the_last_row_of_the_log(months: Engine) -> None:
    ship_months(months)
    tidy_inference(months, now=NOW, kept_months=1)
    with months.connect() as connection:
        assert phrases(connection) == [("organ", "both")]


def test_rows_of_before_the_migration_are_found_with_and_without_pg_trgm(
    months: Engine, database: DatabaseUrls
) -> None:
    """Without the extension, a phrase is found by its start."""
    ship_months(months)
    for offered in (True, False):
        with months.begin() as connection:
            run_migration(connection, offered=offered)
        with months.connect() as connection:
            index = PARTS_INDEX if offered else "distinct_phrase_by_start"
            assert connection.scalar(sa.select(sa.func.to_regclass(index))) is not None
            assert found(connection, "BOTH") == found(connection, "bo") == ["3", "2"]
            assert found(connection, "oth") == (["3", "2"] if offered else [])
            assert found(connection, "the_") == found(connection, "b%h") == []


def found(connection: Connection, text: str) -> list[str]:
    rows = search_answers(connection, Search("organ", text=text))
    return [row.request_id.removeprefix("request-") for row in rows]


def run_migration(connection: Connection, *, offered: bool) -> None:
    """Run the migration of the phrases down and up, with or without the extension."""
    import importlib

    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    [file] = (MIGRATIONS / "versions").glob("*_distinct_phrases.py")
    revision: Any = importlib.import_module(f"core.migrations.versions.{file.stem}")
    with Operations.context(MigrationContext.configure(connection)):
        revision.downgrade()
        connection.execute(sa.text("drop extension if exists pg_trgm"))
        if not offered:
            connection.execute(sa.text("create schema elsewhere"))
            connection.execute(sa.text("create extension pg_trgm schema elsewhere"))
        revision.upgrade()
