from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.engine import Engine

from core.contracts import Deployment, ModelVersion, Role
from core.deployments import append_deployment, current_champions, history, previous_champion

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
