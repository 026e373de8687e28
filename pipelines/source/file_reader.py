"""Reads files by SQL, through an in-memory DuckDB, as Arrow batches."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pyarrow as pa
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.engine import Dialect

from core.errors import QueryRefused, SourceUnreachable
from pipelines.source.file_tables import create_tables

if TYPE_CHECKING:
    import duckdb

_BATCH_ROWS = 20_000
_SHOWN_LINES = 3
"""Of DuckDB's message: what is wrong, the line of the file, why. Advice for its options follows."""


class FileDialect(PGDialect):
    """DuckDB's SQL is close to PostgreSQL's, but for backslashes in texts, which are plain."""

    name = "duckdb"
    supports_statement_cache = False
    _backslash_escapes = False


class FileReader:
    """The tables of one file or folder."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, path: Path, *, tables: list[str]
    ) -> None:
        self._connection = connection
        self._path = path
        self.tables = tables
        self.dialect: Dialect = FileDialect()  # type: ignore[no-untyped-call]

    def columns(self, query: str) -> list[str]:
        with _named_errors(self._path):
            return [column[0] for column in self._connection.execute(query).description or ()]

    def stream(self, query: str) -> Generator[pa.RecordBatch]:
        with _named_errors(self._path):
            batches: pa.RecordBatchReader = self._connection.sql(query).to_arrow_reader(_BATCH_ROWS)
            yield from batches


def open_files(path: Path, stack: ExitStack) -> FileReader:
    """Return a reader of the tables in `path`, closed with the stack.

    Nothing is written beside the files and nothing is fetched: DuckDB's extensions that the wheel
    does not bring stay unknown.
    """
    import duckdb

    temporary = stack.enter_context(TemporaryDirectory(prefix="perennial-source-"))
    configuration: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "temp_directory": temporary,
    }
    connection = stack.enter_context(duckdb.connect(":memory:", config=configuration))
    connection.execute("set TimeZone = 'UTC'")
    with _named_errors(path):
        tables = create_tables(connection, path, temporary=Path(temporary))
    return FileReader(connection, path, tables=tables)


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Turn DuckDB's errors into one of the file or one of the query. Ctrl-C stays what it is."""
    import duckdb

    try:
        yield
    except (duckdb.InterruptException, RuntimeError) as error:
        is_interrupt = isinstance(error, duckdb.InterruptException) or "interrupted" in str(error)
        if is_interrupt and threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt from None
        raise
    except duckdb.IOException as error:
        raise SourceUnreachable(
            f"files that can be read in {path}",
            came=_message(error),
            do="correct the file, or PERENNIAL_SOURCE_URL",
        ) from None
    except duckdb.InvalidInputException as error:
        raise QueryRefused(
            f"rows as the header says, in {path.name}",
            came=_message(error),
            do="correct the line, or export the file again",
        ) from None
    except duckdb.Error as error:
        raise QueryRefused(
            "a query that the source runs", came=_message(error), do="correct the query"
        ) from None


def _message(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines[:_SHOWN_LINES])
