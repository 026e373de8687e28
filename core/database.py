"""Perennial's own PostgreSQL: embedded under `home` by default, yours by URL. Three databases: perennial, prefect, mlflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.engine import Engine, make_url

from core.embedded import hold_server
from core.errors import DatabaseUnreachable
from core.logs import first_line
from core.settings import Settings, require_home

DATABASES = ("perennial", "prefect", "mlflow")
MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass(frozen=True)
class DatabaseUrls:
    """Plain `postgresql://` URLs, secrets included: never log them."""

    perennial: str = field(repr=False)
    prefect: str = field(repr=False)
    mlflow: str = field(repr=False)

    def sibling(self, name: str) -> str:
        """URL of another database on the server that holds `perennial`."""
        return make_url(self.perennial).set(database=name).render_as_string(hide_password=False)


def with_driver(url: str, driver: str) -> str:
    """`postgresql://...` -> `postgresql+<driver>://...`."""
    return (
        make_url(url).set(drivername=f"postgresql+{driver}").render_as_string(hide_password=False)
    )


@contextmanager
def open_database(settings: Settings) -> Iterator[DatabaseUrls]:
    """Yield the URLs of a PostgreSQL that answers, with the three databases made and migrated.

    The embedded server is started when needed and stops when its last handle closes, so that several
    processes can share it. Raises `DatabaseUnreachable`, or `SettingsError` when it has no home.
    """
    with _server(settings) as admin_url:
        urls = _urls(settings, admin_url)
        _ensure_databases(settings, admin_url)
        migrate(urls.perennial)
        yield urls


def connect(url: str) -> Engine:
    """Return an engine whose connections are checked before use, and that gives up on a silent server after ten seconds."""
    patience = {"connect_timeout": 10, "tcp_user_timeout": 10_000}
    return sa.create_engine(
        with_driver(url, "psycopg"),
        pool_pre_ping=True,
        pool_size=2,
        max_overflow=8,
        connect_args=patience,
    )


def require_reachable(url: str) -> None:
    """Raise `DatabaseUnreachable` when no connection comes about within ten seconds."""
    engine = connect(url)
    try:
        with engine.connect():
            pass
    except sa.exc.OperationalError as error:
        raise _unreachable(url, error) from None
    finally:
        engine.dispose()


def migrate(url: str) -> None:
    """Bring the tables to the newest revision (Alembic). A second call does nothing."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = with_driver(url, "psycopg")
    try:
        command.upgrade(config, "head")
    except sa.exc.OperationalError as error:
        raise _unreachable(url, error) from None


def has_database(url: str, name: str) -> bool:
    """Is there a database of this name beside the one of `url`?"""
    engine = sa.create_engine(with_driver(url, "psycopg"), poolclass=sa.NullPool)
    with engine.connect() as connection:
        return name in set(connection.scalars(sa.text("select datname from pg_database")))


def create_database(url: str, name: str) -> None:
    """Make a database beside the one of `url`, unless it is there."""
    engine = sa.create_engine(
        with_driver(url, "psycopg"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )
    with engine.connect() as connection, _one_at_a_time(connection):
        if name not in set(connection.scalars(sa.text("select datname from pg_database"))):
            connection.execute(sa.text(f'create database "{name}"'))


@contextmanager
def _server(settings: Settings) -> Iterator[str]:
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    with hold_server(require_home(settings) / "postgres") as url:
        yield url


def _urls(settings: Settings, admin_url: str) -> DatabaseUrls:
    def url_of(name: str) -> str:
        own = {
            "prefect": settings.prefect_database_url,
            "mlflow": settings.mlflow_database_url,
            "perennial": settings.database_url,
        }[name]
        base = make_url(own.get_secret_value() if own else admin_url)
        return (
            (base if own else base.set(database=name))
            .set(drivername="postgresql")
            .render_as_string(hide_password=False)
        )

    return DatabaseUrls(**{name: url_of(name) for name in DATABASES})


def _ensure_databases(settings: Settings, admin_url: str) -> None:
    """Make the databases that have no URL of their own, beside the one that was given."""
    given = {
        "prefect": settings.prefect_database_url,
        "mlflow": settings.mlflow_database_url,
        "perennial": settings.database_url,
    }
    try:
        for name in DATABASES:
            if given[name] is None:
                create_database(admin_url, name)
    except sa.exc.DBAPIError as error:
        raise _unreachable(admin_url, error) from None


@contextmanager
def _one_at_a_time(connection: Any) -> Iterator[None]:
    connection.execute(sa.text("select pg_advisory_lock(5061)"))
    try:
        yield
    finally:
        connection.execute(sa.text("select pg_advisory_unlock(5061)"))


def _unreachable(url: str, error: Exception) -> DatabaseUnreachable:
    shown = make_url(url)
    return DatabaseUnreachable(
        f"a PostgreSQL at {shown.host or 'the embedded socket'}/{shown.database}",
        came=first_line(error),
        do="start it, or correct PERENNIAL_DATABASE_URL",
    )
