"""The tables that the code names are the tables that the migrations make."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection, Engine

from core.database import MIGRATIONS, DatabaseUrls, connect, migrate, open_database, with_driver
from core.settings import load_settings
from core.tables.all import metadata
from core.tables.answers import answer_count, answers_counted, label_count
from core.tables.fixes import fix
from core.tables.loop import inference
from tests.support.processes import wait_until


def newest_revision() -> str | None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return ScriptDirectory.from_config(config).get_current_head()


def downgrade(url: str, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = with_driver(url, "psycopg")
    command.downgrade(config, revision)


def _is_ours(name: str | None, kind: str, _: object) -> bool:
    """Partitions are not tables of their own."""
    return kind != "table" or not str(name).startswith("inference_")


def test_migrations_make_what_the_code_names(engine: Engine) -> None:
    with engine.connect() as connection:
        assert (
            compare_metadata(
                MigrationContext.configure(connection, opts={"include_name": _is_ours}), metadata
            )
            == []
        )


def test_a_second_migration_does_nothing(database: DatabaseUrls, engine: Engine) -> None:
    migrate(database.perennial)
    with engine.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == newest_revision()


def test_rows_of_before_are_numbered_by_their_clock_and_new_ones_by_arrival(
    tmp_path: Path,
) -> None:
    with open_database(load_settings(home=tmp_path / "home", database_url=None)) as urls:
        downgrade(urls.perennial, "0003")
        with connect(urls.perennial).begin() as connection:
            for minute in (2, 1):
                connection.execute(_OLD_INSERT, {"request": f"before-{minute}", "minute": minute})
        migrate(urls.perennial)
        with connect(urls.perennial).begin() as connection:
            connection.execute(_WHOLE_ROW, {"request": "by an old bento"})
            connection.execute(_OLD_INSERT, {"request": "now", "minute": 0})
            order = sa.select(inference.c.request_id).order_by(inference.c.sequence)
            assert list(connection.scalars(order)) == [
                "before-1",
                "before-2",
                "by an old bento",
                "now",
            ]


_OLD_INSERT = sa.text("""
    insert into inference (occurred_at, request_id, version, classifier, role, phrase, cleaned,
        label, probability, alternatives, embedder_id, cached, latency_ms, flags)
    values (timestamptz '2026-01-01' + :minute * interval '1 minute', :request, '1', 'organ',
        'champion', 'p', 'p', 'heart', 0.9, '[]', 'e', false, 1, '[]')
""")
_WHOLE_ROW = sa.text("""
    insert into inference
    select * from jsonb_populate_recordset(null::inference, jsonb_build_array(jsonb_build_object(
        'occurred_at', timestamptz '2025-01-01', 'request_id', cast(:request as text),
        'version', '1', 'classifier', 'organ', 'role', 'champion', 'phrase', 'p', 'cleaned', 'p',
        'label', 'heart', 'probability', 0.9, 'alternatives', '[]'::jsonb, 'embedder_id', 'e',
        'cached', false, 'latency_ms', 1, 'flags', '[]'::jsonb)))
""")


def test_counts_of_before_stay_by_region_and_by_label(tmp_path: Path) -> None:
    with open_database(load_settings(home=tmp_path / "home", database_url=None)) as urls:
        downgrade(urls.perennial, "0018")
        engine = connect(urls.perennial)
        with engine.begin() as connection:
            cells = [("west", "heart", 3, 1), ("west", "skin", 4, 0), ("", "skin", 5, 2)]
            for region, label, answers, abstained in cells:
                cell = {"region": region, "label": label, "answers": answers}
                connection.execute(_OLD_COUNT, {**cell, "abstained": abstained})
        migrate(urls.perennial)
        with engine.begin() as connection:
            assert _counted(connection, answer_count.c.region) == {"": (5, 2), "west": (7, 1)}
            assert _counted(connection, label_count.c.label) == {"heart": (3, 1), "skin": (9, 2)}
            connection.execute(fix.insert().values(_FIX))
        downgrade(urls.perennial, "0018")
        with engine.begin() as connection:
            assert connection.scalar(sa.select(fix.c.answers)) == 0
            assert connection.scalar(sa.text("select count(*) from answer_count")) == 0
            assert connection.scalar(sa.select(answers_counted.c.sequence)) == 0


def test_answers_that_another_process_counts_meanwhile_are_not_lost(tmp_path: Path) -> None:
    """The migration waits for a count that is under way."""
    with open_database(load_settings(home=tmp_path / "home", database_url=None)) as urls:
        downgrade(urls.perennial, "0018")
        engine = connect(urls.perennial)
        with ThreadPoolExecutor(1) as pool:
            with engine.begin() as counting:
                cell = {"region": "west", "label": "heart", "answers": 3, "abstained": 1}
                counting.execute(_OLD_COUNT, cell)
                migration = pool.submit(migrate, urls.perennial)
                wait_until(lambda: _waits_for_a_lock(engine), seconds=60, what="the migration")
            migration.result(timeout=60)
        with engine.begin() as connection:
            assert _counted(connection, answer_count.c.region) == {"west": (3, 1)}
            assert _counted(connection, label_count.c.label) == {"heart": (3, 1)}


def _waits_for_a_lock(engine: Engine) -> bool:
    query = "select exists (select from pg_locks where not granted)"
    with engine.connect() as connection:
        return bool(connection.scalar(sa.text(query)))


def _counted(connection: Connection, key: sa.ColumnElement[str]) -> dict[str, tuple[int, int]]:
    table = key.table
    query = sa.select(key, table.c.answers, table.c.abstained)
    return {name: (answers, abstained) for name, answers, abstained in connection.execute(query)}


_FIX = {
    **dict.fromkeys(("classifier", "author", "request_id", "phrase", "cleaned"), "a"),
    **dict.fromkeys(("version", "before", "label"), "a"),
    **{"feedback": 1, "key": 1, "answers": 5, "received_at": datetime(2026, 1, 5, tzinfo=UTC)},
}
_OLD_COUNT = sa.text("""
    with progress as (
        insert into answers_counted (classifier, sequence, counted_at)
        values ('organ', 12, now()) on conflict do nothing
    )
    insert into answer_count
        (classifier, day, version, shadow, region, label, answers, probability_sum, abstained)
    values ('organ', '2026-01-05', '1', false, :region, :label, :answers, 0.9, :abstained)
""")
