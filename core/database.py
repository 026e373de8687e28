"""Perennial's own PostgreSQL: embedded under `home` by default, yours by URL.

It has three databases: perennial, prefect and mlflow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from pydantic import SecretStr
from sqlalchemy.engine import Connection, Engine, make_url

from core.embedded import hold_server
from core.errors import DatabaseUnreachable
from core.home import require_home
from core.locks import AdvisoryLock
from core.logs import first_line
from core.settings import Settings

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
    named = make_url(url).set(drivername=f"postgresql+{driver}")
    return named.render_as_string(hide_password=False)


@contextmanager
def open_database(settings: Settings) -> Iterator[DatabaseUrls]:
    """Yield the URLs of a PostgreSQL that answers, with the three databases created and migrated.

    The embedded server starts when it is needed and stops when its last handle closes,
    so that several processes can share it.

    Raises
    ------
    DatabaseUnreachable
        The server does not answer, or the embedded one does not start.
    SettingsError
        The home cannot be written to.
    """
    with _server(settings) as admin_url:
        urls = _urls(settings, admin_url)
        _ensure_databases(settings, admin_url)
        migrate(urls.perennial)
        yield urls


def connect(url: str) -> Engine:
    """Return an engine that checks a connection before use and gives up on a server after 10 s.

    Its sessions are in UTC, whatever zone the database is set to: reasons and reports tell moments.
    """
    engine = sa.create_engine(
        with_driver(url, "psycopg"),
        pool_pre_ping=True,
        pool_size=2,
        max_overflow=8,
        connect_args={"connect_timeout": 10, "tcp_user_timeout": 10_000},  # seconds, milliseconds
    )
    sa.event.listen(engine, "connect", _set_utc)
    return engine


def _set_utc(connection: Any, _record: object) -> None:
    connection.execute("set time zone 'UTC'")
    connection.commit()  # the pool's first rollback would undo it


def require_reachable(url: str) -> None:
    """Raise `DatabaseUnreachable` when no connection is made within ten seconds."""
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
    """Return True when the server of `url` has a database of this name."""
    engine = sa.create_engine(with_driver(url, "psycopg"), poolclass=sa.NullPool)
    with engine.connect() as connection:
        return name in set(connection.scalars(sa.text("select datname from pg_database")))


def create_database(url: str, name: str) -> None:
    """Create a database on the server of `url`, unless it exists."""
    engine = sa.create_engine(
        with_driver(url, "psycopg"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )
    with engine.connect() as connection, _create_lock(connection):
        if name not in set(connection.scalars(sa.text("select datname from pg_database"))):
            connection.execute(sa.text(f'create database "{name}"'))


@contextmanager
def _server(settings: Settings) -> Iterator[str]:
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    with hold_server(require_home(settings) / "postgres") as url:
        yield url


def _configured_urls(settings: Settings) -> Mapping[str, SecretStr | None]:
    """Database name -> its own URL; None when it lies on Perennial's server."""
    return {
        "perennial": settings.database_url,
        "prefect": settings.prefect_database_url,
        "mlflow": settings.mlflow_database_url,
    }


def _urls(settings: Settings, admin_url: str) -> DatabaseUrls:
    configured = _configured_urls(settings)
    return DatabaseUrls(
        **{name: _url_of(name, configured[name], admin_url) for name in DATABASES},
    )


def _url_of(name: str, configured: SecretStr | None, admin_url: str) -> str:
    if configured is None:
        url = make_url(admin_url).set(database=name)
    else:
        url = make_url(configured.get_secret_value())
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _ensure_databases(settings: Settings, admin_url: str) -> None:
    """Create the databases that have no URL of their own, on Perennial's server."""
    configured = _configured_urls(settings)
    try:
        for name in DATABASES:
            if configured[name] is None:
                create_database(admin_url, name)
    except sa.exc.DBAPIError as error:
        raise _unreachable(admin_url, error) from None


@contextmanager
def _create_lock(connection: Connection) -> Iterator[None]:
    """Hold the lock: two processes must not create the same database at once."""
    number = AdvisoryLock.CREATE_DATABASE.value
    connection.execute(sa.select(sa.func.pg_advisory_lock(number)))
    try:
        yield
    finally:
        connection.execute(sa.select(sa.func.pg_advisory_unlock(number)))


def _unreachable(url: str, error: Exception) -> DatabaseUnreachable:
    shown = make_url(url)
    return DatabaseUnreachable(
        f"a PostgreSQL at {shown.host or 'the embedded socket'}/{shown.database}",
        came=first_line(error),
        do="start it, or correct PERENNIAL_DATABASE_URL",
    )
