"""A source whose driver is missing says which package brings it; no message shows a password."""

from __future__ import annotations

import pytest

from core.errors import SettingsError
from pipelines.source.drivers import parse_source_url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "mysql://me:hush-hush@host/db",
            r"a driver for mysql; came no Python module MySQLdb; call .*'pymysql'`, "
            r"and write mysql\+pymysql://",
        ),
        (
            "mysql+pymysql://me:hush-hush@host/db",
            "came no Python module pymysql; call .*'pymysql'`$",
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
        ("sqlite+aiosqlite3://me:hush-hush@/db", "no dialect"),
    ],
)
def test_what_is_missing_is_named(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refusal:
        parse_source_url(url)
    assert "hush" not in str(refusal.value) and not refusal.value.retryable


@pytest.mark.parametrize(
    "driver", ["postgresql", "postgresql+psycopg", "postgresql+asyncpg", "sqlite", "duckdb"]
)
def test_what_is_installed_is_parsed(driver: str) -> None:
    assert parse_source_url(f"{driver}:///name").database == "name"
