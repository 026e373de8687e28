"""Which package provides the driver of which database.

PostgreSQL and SQLite work out of the box; other databases need the package to be installed.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

from core.errors import SettingsError
from core.urls import usable_url

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
"""Dialect -> requirement for `pip install`."""
_OWN_NAMES = {"pymysql", "pymssql", "oracledb"}
"""Packages that the URL must name: SQLAlchemy would expect another driver."""


def parse_source_url(url: str) -> URL:
    """Return the URL of a database whose driver is installed.

    Raises `SettingsError` for an invalid URL, or naming the package to install.
    """
    try:
        parsed = make_url(usable_url(url))
        dialect = parsed.get_dialect()
        if read_by_adbc(parsed):
            return parsed
        dialect.import_dbapi()
    except sa.exc.NoSuchModuleError:
        raise _missing(parsed) from None
    except ModuleNotFoundError as error:
        raise _missing(parsed, module=error.name or "") from None
    except ValueError as error:
        raise SettingsError(
            "an SQLAlchemy URL",
            came=str(error),
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
    """Return True for PostgreSQL and SQLite, whatever driver the URL names."""
    return url.get_backend_name() in ("postgresql", "sqlite")


def _missing(url: URL, *, module: str = "") -> SettingsError:
    dialect, names_driver, _ = url.drivername.partition("+")
    missing = f"no dialect {url.drivername} in this installation"
    if module:
        missing = f"no Python module {module}"

    package = module if names_driver and module else PACKAGES.get(dialect)
    do = f"correct {_URL}, or install the package that provides SQLAlchemy's dialect {dialect}"
    if package is not None:
        do = f"call `.venv/bin/uv pip install --python .venv/bin/python '{package}'`"
        if package in _OWN_NAMES and not names_driver:
            do += f", and write {dialect}+{package}:// in {_URL}"
    return SettingsError(f"a driver for {dialect}", came=missing, do=do)
