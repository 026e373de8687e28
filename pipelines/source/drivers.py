"""Which package brings the driver of which database: PostgreSQL and SQLite are read out of the box, the others when it is installed."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

from core.errors import SettingsError
from core.logs import redact

_URL = "PERENNIAL_SOURCE_URL"
PACKAGES = {
    "bigquery": "sqlalchemy-bigquery",
    "clickhouse": "clickhouse-sqlalchemy",
    "cockroachdb": "sqlalchemy-cockroachdb",
    "databricks": "databricks-sqlalchemy",
    "db2": "ibm-db-sa",
    "duckdb": "duckdb-engine",
    "mariadb": "pymysql",
    "mssql": "pymssql",
    "mysql": "pymysql",
    "oracle": "oracledb",
    "redshift": "sqlalchemy-redshift",
    "snowflake": "snowflake-sqlalchemy",
    "teradatasql": "teradatasqlalchemy",
    "trino": "trino[sqlalchemy]",
}
"""Dialect -> what `pip install` takes."""
_OWN_NAMES = {"pymysql", "pymssql", "oracledb"}
"""Packages whose name belongs into the URL: SQLAlchemy expects another driver where none is named."""


def parse_source_url(url: str) -> URL:
    """SQLAlchemy's URL of a database whose driver is there. Raises `SettingsError` with the package to install."""
    try:
        parsed = make_url(url)
        dialect = parsed.get_dialect()
        if read_by_adbc(parsed):
            return parsed
        dialect.import_dbapi()
    except sa.exc.NoSuchModuleError:
        raise _missing(make_url(url)) from None
    except ModuleNotFoundError as error:
        raise _missing(parsed, module=error.name or "") from None
    except (sa.exc.ArgumentError, ValueError) as error:
        raise SettingsError(
            "an SQLAlchemy URL",
            came=redact(str(error)),
            do=f"correct {_URL}: dialect://user@host/database",
        ) from None
    if dialect.is_async:
        raise SettingsError(
            "a driver that is not asynchronous",
            came=parsed.drivername,
            do=f"name another driver in {_URL}",
        )
    return parsed


def read_by_adbc(url: URL) -> bool:
    """PostgreSQL and SQLite, whatever driver the URL names."""
    return url.get_backend_name() in ("postgresql", "sqlite")


def _missing(url: URL, *, module: str = "") -> SettingsError:
    dialect = url.drivername.partition("+")[0]
    package = module if "+" in url.drivername and module else PACKAGES.get(dialect)
    came = (
        f"no Python module {module}"
        if module
        else f"no dialect {url.drivername} in this installation"
    )
    if package is None:
        do = f"correct {_URL}, or install the package that brings SQLAlchemy the dialect {dialect}"
    else:
        named = (
            f", and write {dialect}+{package}:// in {_URL}"
            if package in _OWN_NAMES and "+" not in url.drivername
            else ""
        )
        do = f"call `.venv/bin/uv pip install --python .venv/bin/python '{package}'`{named}"
    return SettingsError(f"a driver for {dialect}", came=came, do=do)
