from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from core.contracts import Deployment, ModelVersion, Role
from core.deployments import (
    append_deployment,
    current_champions,
    current_rollouts,
    history,
    previous_champion,
)
from core.memory_revisions import newest_revisions

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def entry(
    version: str, *, classifier: str = "organ", role: Role = "champion", since: datetime = NOW
) -> Deployment:
    return Deployment(
        ModelVersion(classifier, version, f"/models/{version}", f"sha256:{version}", "tiny"),
        role,
        1.0,
        since,
        "test",
    )


def append(engine: Engine, *entries: Deployment) -> None:
    with engine.begin() as connection:
        for one in entries:
            append_deployment(connection, one)


def test_the_newest_champion_of_each_classifier_answers(engine: Engine) -> None:
    earlier = NOW - timedelta(days=1)
    append(
        engine,
        entry("1"),
        entry("2", since=earlier),
        entry("9", classifier="chapter"),
        entry("3", role="shadow"),
    )
    with engine.connect() as connection:
        assert current_champions(connection) == {
            "organ": entry("2", since=earlier),
            "chapter": entry("9", classifier="chapter"),
        }


def test_no_row_is_no_champion(engine: Engine) -> None:
    with engine.connect() as connection:
        assert (
            current_champions(connection),
            history(connection, "organ"),
            previous_champion(connection, "organ"),
        ) == ({}, [], None)


def test_history_is_complete_and_in_order(engine: Engine) -> None:
    entries = [entry("1"), entry("2", role="canary"), entry("2"), entry("1")]
    append(engine, *entries, entry("7", classifier="chapter"))
    with engine.connect() as connection:
        assert history(connection, "organ") == entries


def test_the_previous_champion_is_another_version(engine: Engine) -> None:
    append(engine, entry("1"), entry("2"), entry("2"), entry("3", role="canary"))
    with engine.connect() as connection:
        assert previous_champion(connection, "organ") == entry("1")
    append(engine, entry("1"))
    with engine.connect() as connection:
        assert previous_champion(connection, "organ") is None, "what was left is not returned to"


@pytest.mark.parametrize(
    ("champions", "previous"),
    [
        ("1232", "1"),
        ("12321", None),
        ("123214", "1"),
        ("1212", "1"),
        ("1223", "2"),
        ("1321", None),
        ("121343", "1"),
    ],
)
def test_what_a_rollback_returns_to(engine: Engine, champions: str, previous: str | None) -> None:
    append(engine, *map(entry, champions))
    with engine.connect() as connection:
        assert previous_champion(connection, "organ") == (entry(previous) if previous else None)


def test_the_first_champion_has_no_previous(engine: Engine) -> None:
    append(engine, entry("1"), entry("1"))
    with engine.connect() as connection:
        assert previous_champion(connection, "organ") is None


def test_the_poll_reads_the_newest_rows_of_a_long_history_alone(engine: Engine) -> None:
    """Nothing prunes the tables, and every service polls them."""
    with engine.begin() as connection:
        connection.execute(
            sa.text("""
                insert into deployment (classifier, version, head_location, head_digest,
                                        embedder_id, role, share, since, why)
                select 'c' || n % 21, n::text, '', '', '', 'champion', 1, now(), ''
                from generate_series(1, 50000) as n
            """)
        )
        connection.execute(
            sa.text("""
                insert into memory_revision (classifier, revision, made_at, as_of, digest, location,
                                             snapshot, phrases, labels, enabled, why)
                select 'c' || n % 21, n, now(), now(), '', '', '', 0, 0, true, ''
                from generate_series(1, 50000) as n
            """)
        )
        connection.execute(sa.text("analyze deployment"))
        connection.execute(sa.text("analyze memory_revision"))

    with engine.connect() as connection:
        rollouts = current_rollouts(connection)
        assert len(rollouts) == 21
        champion = rollouts["c20"].champion
        assert champion is not None
        assert champion.model.version == "50000"
        assert newest_revisions(connection)["c20"].revision == 50000
        assert _pages_read(lambda: current_rollouts(connection), connection) < 500
        assert _pages_read(lambda: newest_revisions(connection), connection) < 500


def _pages_read(read: Callable[[], object], connection: Connection) -> int:
    """Pages of tables and indexes that the statements of `read` touch."""
    statements: list[str] = []

    def note(_: object, __: object, statement: str, *rest: object) -> None:
        statements.append(statement)

    sa.event.listen(connection, "before_cursor_execute", note)
    read()
    sa.event.remove(connection, "before_cursor_execute", note)
    pages = 0
    for statement in statements:
        explain = f"explain (analyze, buffers, format json) {statement}"
        plan = connection.exec_driver_sql(explain).scalar_one()[0]["Plan"]
        pages += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return pages


def test_nothing_is_deployed_or_remembered_in_an_empty_database(engine: Engine) -> None:
    with engine.connect() as connection:
        assert current_rollouts(connection) == {}
        assert newest_revisions(connection) == {}
