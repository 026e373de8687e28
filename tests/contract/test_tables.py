"""The tables that the code names are the tables that the migrations make."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.engine import Engine

from core.database import DatabaseUrls, migrate
from core.tables import metadata


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
        assert MigrationContext.configure(connection).get_current_revision() == "0003"
