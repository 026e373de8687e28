"""Whatever a driver raises, in whatever phase, comes out under a name."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import adbc_driver_manager as adbc
import adbc_driver_manager.dbapi as adbc_dbapi
import adbc_driver_sqlite.dbapi as adbc_sqlite
import duckdb
import duckdb_engine
import pyarrow as pa
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, CursorResult, make_url

from core.errors import PerennialError, QueryRefused, SourceUnreachable
from pipelines.source.driver_errors import named_errors
from pipelines.source.readers import _batch as batch_of
from pipelines.source.readers import open_reader

NAMED = (SourceUnreachable, QueryRefused)
OF_DBAPI = (
    "InterfaceError",
    "DatabaseError",
    "DataError",
    "OperationalError",
    "IntegrityError",
    "InternalError",
    "ProgrammingError",
    "NotSupportedError",
)
OTHERS = [
    OSError("planned"),
    RuntimeError("planned"),
    ValueError("planned"),
    KeyError("planned"),
    NotImplementedError("planned"),
    TimeoutError("planned"),
    pa.ArrowInvalid("planned"),
    pa.ArrowCancelled("planned"),
    pa.ArrowMemoryError("planned"),
]
OF_ADBC = [
    adbc.NotSupportedError("planned")
    if name == "NotSupportedError"
    else getattr(adbc, name)("planned", status_code=adbc.AdbcStatusCode.INVALID_STATE)
    for name in OF_DBAPI
]
OF_DUCKDB = [
    getattr(duckdb, name)("planned")
    for name in OF_DBAPI
    if name != "InterfaceError"  # DuckDB has none
]


def raising(error: Exception) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


@pytest.fixture
def lite(tmp_path: Path) -> str:
    with sqlite3.connect(tmp_path / "rows.db") as connection:
        connection.execute("create table note as select 1 as id")
    return f"sqlite:///{tmp_path}/rows.db"


@pytest.fixture
def duck(tmp_path: Path) -> str:
    with duckdb.connect(str(tmp_path / "rows.duckdb")) as connection:
        connection.execute("create table note as select 1 as id")
    return f"duckdb:///{tmp_path}/rows.duckdb"


def read(url: str) -> int:
    with open_reader(url) as reader:
        assert reader.columns("select * from note") == ["id"]
        return sum(map(len, reader.stream("select * from note")))


class Broken:
    """A result whose stream breaks after a batch."""

    def __init__(self, error: Exception) -> None:
        self.reader = self
        self._error = error

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"id": [1]})
        raise self._error

    def close(self) -> None:
        pass


@pytest.mark.parametrize("error", [*OF_ADBC, *OTHERS], ids=repr)
def test_adbc_fails_under_a_name_in_every_phase(
    lite: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with monkeypatch.context() as patch, pytest.raises(NAMED, match="planned"):
        patch.setattr(adbc_sqlite, "connect", raising(error))
        read(lite)
    with monkeypatch.context() as patch, pytest.raises(NAMED, match="planned"):
        patch.setattr(adbc_dbapi.Cursor, "execute", raising(error))
        read(lite)
    with open_reader(lite) as reader, pytest.raises(NAMED, match="planned"):
        monkeypatch.setattr(reader._cursor, "execute", lambda _: None)  # type: ignore[attr-defined]
        reader._cursor._results = Broken(error)  # type: ignore[attr-defined]
        list(reader.stream("select * from note"))


@pytest.mark.parametrize("error", [*OF_DUCKDB, *OTHERS], ids=repr)
def test_sqlalchemy_fails_under_a_name_in_every_phase(
    duck: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    phases = [
        (duckdb_engine.Dialect, "connect"),
        (duckdb_engine.CursorWrapper, "execute"),
        (duckdb_engine.CursorWrapper, "fetchmany"),
        (CursorResult, "partitions"),
    ]
    for owner, name in phases:
        with monkeypatch.context() as patch, pytest.raises(NAMED, match="planned"):
            patch.setattr(owner, name, raising(error), raising=False)
            read(duck)


@pytest.mark.parametrize("error", [OF_ADBC[3], OTHERS[0], OTHERS[1]], ids=repr)
def test_rows_that_came_count_when_closing_fails(
    lite: str, duck: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    closed = []

    def failing(close: Any) -> Any:
        def fail(resource: Any) -> None:
            close(resource)
            closed.append(resource)
            raise error

        return fail

    for connection in (adbc_dbapi.Connection, Connection):
        close = failing(connection.close)  # type: ignore[attr-defined]
        monkeypatch.setattr(connection, "close", close)
    assert (read(lite), read(duck), len(closed)) == (1, 1, 2)


class OperationalError(Exception):
    """What MySQL's drivers raise: a number, then a sentence."""


@pytest.mark.parametrize(
    ("number", "raised"),
    [
        (1054, QueryRefused),  # unknown column
        (1222, QueryRefused),  # a union of different numbers of columns
        (1242, QueryRefused),  # a subquery of several rows
        (3024, QueryRefused),  # MySQL: the query took longer than it may
        (4078, QueryRefused),  # MariaDB: types that cannot be compared
        (1205, SourceUnreachable),  # a lock that was not released in time
        (1213, SourceUnreachable),  # a deadlock
        (1045, SourceUnreachable),  # access denied
        (1049, SourceUnreachable),  # no such database
        (1053, SourceUnreachable),  # shutdown in progress
        (2003, SourceUnreachable),  # connection refused
        (2013, SourceUnreachable),  # connection lost during the query
    ],
)
@pytest.mark.parametrize("backend", ["mysql+pymysql", "mariadb+pymysql", "mysql+mysqldb"])
def test_a_query_that_mysql_refuses_is_not_an_outage(
    backend: str, number: int, raised: type[PerennialError]
) -> None:
    error = sa.exc.OperationalError("select 1", {}, OperationalError(number, "planned"))
    with pytest.raises(raised, match="planned"), named_errors(make_url(f"{backend}://db/desk")):
        raise error


def test_numbers_of_other_databases_are_not_those_of_mysql() -> None:
    error = sa.exc.OperationalError("select 1", {}, OperationalError(1054, "planned"))
    with pytest.raises(SourceUnreachable), named_errors(make_url("snowflake://db/desk")):
        raise error


def test_an_interrupted_query_is_an_interrupt(duck: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error = RuntimeError("Query interrupted")
    monkeypatch.setattr(duckdb_engine.CursorWrapper, "execute", raising(error))
    with pytest.raises(KeyboardInterrupt):
        read(duck)


def test_ids_of_bytes_are_hexadecimal() -> None:
    ids = [b"\xff\xfe", bytearray(b"\x00\x01"), memoryview(b"\x80"), 7, "a", None]
    batch = batch_of(["id", "phrase"], [(value, "x") for value in ids])
    assert batch["id"].to_pylist() == ["fffe", "0001", "80", "7", "a", None]


@pytest.mark.parametrize("error", [*OF_DUCKDB, *OTHERS], ids=repr)
def test_files_fail_under_a_name_in_every_phase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    (tmp_path / "note.csv").write_text("id\n1\n")
    with open_reader(str(tmp_path / "note.csv")) as reader:
        assert reader.columns("select * from note") == ["id"]
        for method in ("execute", "sql"):
            monkeypatch.setattr(reader, "_connection", SimpleNamespace(**{method: raising(error)}))
            with pytest.raises(NAMED, match="planned"):
                reader.columns("") if method == "execute" else list(reader.stream(""))


def test_an_error_in_the_stream_of_a_file_has_a_name(tmp_path: Path) -> None:
    rows = [*map(str, range(200_000)), "planned"]
    (tmp_path / "note.csv").write_text("\n".join(["id", *(f"x{row}" for row in rows)]))
    with open_reader(str(tmp_path / "note.csv")) as reader, pytest.raises(NAMED, match="planned"):
        list(reader.stream("select cast(substr(id, 2) as int) as id from note"))
