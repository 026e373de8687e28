"""A source whose driver is missing says which package brings it; no message shows a password."""

from __future__ import annotations

import pytest

from core.errors import SettingsError
from pipelines.source.drivers import parse_source_url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "mysql://me:hush-hush@host/db",
            r"a driver for mysql, got no Python module MySQLdb; call .*'pymysql'`, "
            r"and write mysql\+pymysql://",
        ),
        (
            "mysql+pymysql://me:hush-hush@host/db",
            "got no Python module pymysql; call .*'pymysql'`$",
        ),
        ("mssql://me:hush-hush@host/db", r"'pymssql'`, and write mssql\+pymssql://"),
        (
            "snowflake://me:hush-hush@host/db",
            "no dialect snowflake in this installation; call .*'snowflake-sqlalchemy'`$",
        ),
        (
            "nosuch://me:hush-hush@host/db",
            "no dialect nosuch .* or install the package that provides SQLAlchemy's dialect nosuch",
        ),
        ("me:hush-hush", "an SQLAlchemy URL"),
        ("postgresql://me:hush-hush@host:port/db", "an SQLAlchemy URL"),
        ("postgresql://me:pa@hush@host/db", "a second @, not shown; write %40"),
        ("postgresql://me:pa@hush/x@host/db", "a second @, not shown"),
        ("postgresql://me:pa@ss?hush@host/db", "a second @, not shown"),
        ("postgresql://me:pa@ss:hush/db", "cannot be parsed, not shown"),
        ("sqlite+aiosqlite3://me:hush-hush@/db", "no dialect"),
    ],
)
def test_what_is_missing_is_named(url: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as refusal:
        parse_source_url(url)
    assert "hush" not in str(refusal.value) and not refusal.value.retryable


@pytest.mark.parametrize(
    "driver", ["postgresql", "postgresql+psycopg", "postgresql+asyncpg", "sqlite", "duckdb"]
)
def test_what_is_installed_is_parsed(driver: str) -> None:
    assert parse_source_url(f"{driver}:///name").database == "name"


@pytest.mark.parametrize(
    ("url", "drivername"),
    [("postgres://me@h/d", "postgresql"), ("postgres+psycopg://me@h/d", "postgresql+psycopg")],
)
def test_postgres_is_postgresql(url: str, drivername: str) -> None:
    assert parse_source_url(url).drivername == drivername


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:p%40ss@host/db",
        "postgresql://me:pass@host/db?application_name=a@b",
        "sqlite:////home/me@work/a@b.db",
        "duckdb:////home/me:a@work/b@c.duckdb",
    ],
)
def test_an_at_sign_elsewhere_is_allowed(url: str) -> None:
    assert parse_source_url(url).render_as_string(hide_password=False) == url.replace(
        "a@b", "a%40b" if "?" in url else "a@b"
    )
