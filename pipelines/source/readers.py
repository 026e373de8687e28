"""Open a source database and stream a query's rows as Arrow batches: ADBC for PostgreSQL and SQLite, SQLAlchemy for the others."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine import URL, Dialect

from core.errors import QueryRefused, SourceUnreachable
from core.logs import first_line
from pipelines.source.drivers import parse_source_url, read_by_adbc

PARTITION_ROWS = 20_000
_SQLITE_BATCH_ROWS = "16384"
_POSTGRESQL_BATCH_BYTES = "1000000"
"""A sixteenth of the driver's own: writing begins sooner."""
_AHEAD = 16
"""Batches fetched ahead, so that the database never waits while a batch is written."""
_POSTGRESQL_SETTINGS = """
select set_config(name, case name when 'work_mem' then '64MB' else 'off' end, false)
from pg_settings where name in ('jit', 'parallel_leader_participation') or (name = 'work_mem' and setting::bigint < 65536)
"""
"""For this session. Sort and hash tables stay in memory up to 64 MB each; nothing is compiled; the process that sends rows only merges.

A query, not the URL's `options`: poolers refuse those, and what a server does not have is left alone. On a million joined rows
the database's CPU seconds fell from 2.2 to 1.8, the first row came after 0.7 s instead of 1.0.
"""
_LOST = re.compile(
    r"\b(?:FATAL|PANIC):|closed the connection|connection (?:to server|not open|reset)|could not (?:receive|send)|SSL (?:SYSCALL|error)",
    re.IGNORECASE,
)
_LOST_STATES = ("08", "57P", "53300")


class Reader(Protocol):
    """An open connection to a source."""

    dialect: Dialect

    def columns(self, query: str) -> list[str]: ...

    def stream(self, query: str) -> Generator[pa.RecordBatch]: ...


@contextmanager
def open_reader(url: str) -> Iterator[Reader]:
    """Yield a reader for any SQLAlchemy URL. What the driver raises comes out as `SourceUnreachable` or `QueryRefused`.

    Raises `SettingsError` when the URL is none, or its driver is not installed.
    """
    parsed = parse_source_url(url)
    opened = _open_adbc if read_by_adbc(parsed) else _open_sqlalchemy
    with ExitStack() as stack:
        with _named_errors(parsed):
            reader = opened(parsed, stack)
        yield reader


class AdbcReader:
    """Constant memory: the driver hands out batches as they arrive."""

    def __init__(self, cursor: Any, url: URL) -> None:
        self._cursor, self._url, self.dialect = cursor, url, url.get_dialect()()

    def columns(self, query: str) -> list[str]:
        with _named_errors(self._url):
            self._cursor.execute(query)
            return list(self._cursor.fetch_record_batch().schema.names)

    def stream(self, query: str) -> Generator[pa.RecordBatch]:
        with _named_errors(self._url):
            self._cursor.execute(query)
            yield from _read_ahead(self._cursor.fetch_record_batch())


def _read_ahead(batches: pa.RecordBatchReader) -> Generator[pa.RecordBatch]:
    """Fetch the next batches while the caller works on this one: the database and the writer run side by side."""
    other = ThreadPoolExecutor(1, thread_name_prefix="extract")
    try:
        coming = deque(other.submit(next, batches, None) for _ in range(_AHEAD))
        while (batch := coming.popleft().result()) is not None:
            coming.append(other.submit(next, batches, None))
            yield batch
    finally:
        other.shutdown(cancel_futures=True)


class SqlAlchemyReader:
    """Server-side cursors where the driver has them."""

    def __init__(self, connection: sa.Connection, url: URL) -> None:
        self._connection, self._url, self.dialect = connection, url, connection.dialect

    def columns(self, query: str) -> list[str]:
        """Closes its cursor: MySQL's unbuffered one takes no second query before."""
        with _named_errors(self._url), self._run(query) as result:
            return list(result.keys())

    def stream(self, query: str) -> Generator[pa.RecordBatch]:
        with _named_errors(self._url):
            result = self._run(query)
            names = list(result.keys())
            for rows in result.partitions(PARTITION_ROWS):
                yield _batch(names, rows)

    def _run(self, query: str) -> sa.CursorResult[Any]:
        return self._connection.execution_options(
            stream_results=True, no_parameters=True
        ).exec_driver_sql(query)


def _batch(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> pa.RecordBatch:
    columns = [
        _column(name, values) for name, values in zip(names, zip(*rows, strict=True), strict=True)
    ]
    return pa.record_batch(columns, names=list(names))


def _column(name: str, values: Sequence[Any]) -> pa.Array:
    if name == "occurred_at":
        return _times(values)
    return pa.array([None if value is None else _as_text(value) for value in values], pa.string())


def _times(values: Sequence[Any]) -> pa.Array:
    """As Arrow types; values of several kinds as texts."""
    try:
        return pa.array(values)
    except pa.ArrowException:
        return pa.array([None if value is None else str(value) for value in values], pa.string())


def _as_text(value: object) -> str:
    """As PostgreSQL's `cast(... as text)`; bytes that are no UTF-8 show as replacement characters, which the checks count."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _open_adbc(url: URL, stack: ExitStack) -> Reader:
    driver, location = _adbc(url)
    cursor = stack.enter_context(stack.enter_context(driver.connect(location)).cursor())
    if url.get_backend_name() == "sqlite":
        cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": _SQLITE_BATCH_ROWS})
    else:
        cursor.execute(_POSTGRESQL_SETTINGS)
        cursor.fetchall()
        cursor.adbc_statement.set_options(
            **{"adbc.postgresql.batch_size_hint_bytes": _POSTGRESQL_BATCH_BYTES}
        )
    return AdbcReader(cursor, url)


def _adbc(url: URL) -> tuple[ModuleType, str]:
    if url.get_backend_name() == "sqlite":
        import adbc_driver_sqlite.dbapi as sqlite

        return sqlite, _existing_file(url)
    import adbc_driver_postgresql.dbapi as postgresql

    return postgresql, _libpq(url)


def _libpq(url: URL) -> str:
    """SQLAlchemy's URL as libpq reads it: no driver name, %20 for a blank, and a connection attempt that ends."""
    patient = url.set(drivername="postgresql").update_query_dict(
        {} if "connect_timeout" in url.query else {"connect_timeout": "10"}
    )
    location, _, query = patient.render_as_string(hide_password=False).rpartition("?")
    return f"{location}?{query.replace('+', '%20')}"


def _existing_file(url: URL) -> str:
    path = Path(url.database or "")
    if not path.is_file():
        raise SourceUnreachable(
            "an SQLite file", came=f"nothing at {path}", do="correct PERENNIAL_SOURCE_URL"
        )
    return f"{path.resolve().as_uri()}?mode=ro"


def _open_sqlalchemy(url: URL, stack: ExitStack) -> Reader:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    return SqlAlchemyReader(stack.enter_context(engine.connect()), url)


@contextmanager
def _named_errors(url: URL) -> Iterator[None]:
    """Tell a lost connection from a refused query; anything that is neither passes."""
    import adbc_driver_manager as adbc

    try:
        yield
    except (
        adbc.Error,
        sa.exc.SQLAlchemyError,
        OSError,
        RuntimeError,
    ) as error:  # ADBC raises a plain OSError in the middle of a stream
        came = _first_line(error, url)
        if _is_interrupt(came):
            raise KeyboardInterrupt from None
        if isinstance(error, RuntimeError):
            raise
        if not _is_lost(error, came):
            raise QueryRefused(
                "a query that the source runs", came=came, do="correct the query"
            ) from None
        where = f"the source at {url.host or url.query.get('host') or url.database}"
        raise SourceUnreachable(
            where, came=came, do="start it, or correct PERENNIAL_SOURCE_URL"
        ) from None


def _is_interrupt(came: str) -> bool:
    """Drivers answer Ctrl-C in their own way: ADBC cancels the query and raises what the server says of that, DuckDB a RuntimeError."""
    said = "canceling statement due to user request" in came or came == "Query interrupted"
    return said and threading.current_thread() is threading.main_thread()


def _is_lost(error: Exception, came: str) -> bool:
    if isinstance(error, sa.exc.DBAPIError):
        return error.connection_invalidated or isinstance(error, sa.exc.OperationalError)
    state = getattr(error, "sqlstate", None) or ""
    failed_to_connect = (
        getattr(error, "status_code", None) == 10 and not state
    )  # adbc_driver_manager.AdbcStatusCode.IO
    return failed_to_connect or state.startswith(_LOST_STATES) or bool(_LOST.search(came))


def _first_line(error: Exception, url: URL) -> str:
    text = first_line(error)
    return text.replace(url.password, "***") if url.password else text
