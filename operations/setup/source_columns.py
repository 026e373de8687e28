"""Finds the table and the columns that a new classifier learns from, and writes their query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from core.errors import QueryRefused
from operations.setup.times import read_times
from pipelines.source.file_reader import FileReader
from pipelines.source.readers import Reader, open_reader

LISTED = 20


@dataclass(frozen=True)
class Wanted:
    """What a person names. `time` is None for rows without one, which are then dated `dated`."""

    text: str
    label: str
    time: str | None
    time_format: str | None
    dated: date | None
    table: str | None


@dataclass(frozen=True)
class Columns:
    """The table and its columns, quoted as the dialect asks for it, and how times are written."""

    table: str
    text: str
    label: str
    moment: str
    written: str


def find_columns(address: str, wanted: Wanted) -> Columns:
    """Look at the source. Raises `QueryRefused` naming what the source has instead."""
    with open_reader(address) as reader:
        table = _quoted(reader.dialect, _table(address, reader, wanted.table))
        named = [name for name in (wanted.text, wanted.label, wanted.time) if name is not None]
        _require_columns(reader, table, named)
        moment, written = _moment(reader, table, wanted)
        return Columns(
            table,
            _quoted(reader.dialect, wanted.text),
            _quoted(reader.dialect, wanted.label),
            moment,
            written,
        )


def write_query(columns: Columns, *, label: str, without: Sequence[str] = ()) -> str:
    """Return the query. `without` are conditions that leave out rows."""
    where = "\n  and ".join(without)
    lines = [
        "select",
        f"    {columns.text} as phrase,",
        f"    {columns.moment} as occurred_at,",
        f"    {columns.label} as {label}",
        f"from {columns.table}",
        *([f"where {where}"] if without else []),
    ]
    return "\n".join(lines) + "\n"


def _quoted(dialect: Dialect, name: str) -> str:
    """Quote a name where the dialect requires it; `:x` in it would be a parameter."""
    quoted: str = dialect.identifier_preparer.quote(name)
    return quoted.replace(":", "\\:")


def _table(address: str, reader: Reader, wanted: str | None) -> str:
    tables = reader.tables if isinstance(reader, FileReader) else _database_tables(address)
    if wanted is not None and wanted not in tables:
        raise QueryRefused(
            f"a table {wanted}", came=_listed(tables), do="name one of these with --table"
        )
    if wanted is None and len(tables) != 1:
        raise QueryRefused("one table", came=_listed(tables), do="name one of these with --table")
    return wanted or tables[0]


def _database_tables(address: str) -> list[str]:
    """Return the tables and views of the database's default schema."""
    engine = sa.create_engine(_with_driver(address), poolclass=sa.NullPool)
    inspector = sa.inspect(engine)
    return sorted([*inspector.get_table_names(), *inspector.get_view_names()])


def _with_driver(address: str) -> str:
    """Name the driver that Perennial brings for PostgreSQL."""
    dialect, separator, rest = address.partition("://")
    is_postgresql = dialect.partition("+")[0] in ("postgresql", "postgres")
    return f"postgresql+psycopg{separator}{rest}" if is_postgresql else address


def _require_columns(reader: Reader, table: str, named: Sequence[str]) -> None:
    columns = reader.columns(_bare(f"select * from {table} q where 1 = 0"))
    missing = [name for name in named if name not in columns]
    if missing:
        raise QueryRefused(
            f"the columns {', '.join(named)}",
            came=f"{_listed(columns)} (without {', '.join(missing)})",
            do="name columns of the table with --text, --label and --time",
        )


def _moment(reader: Reader, table: str, wanted: Wanted) -> tuple[str, str]:
    """Return the expression of the rows' time, and how it is written."""
    if wanted.time is None:
        return f"'{wanted.dated}'", f"no column: all rows are dated {wanted.dated}"
    column = _quoted(reader.dialect, wanted.time)
    query = _bare(f"select {column} as moment from {table} q where {column} is not null")
    batches = [batch.column(0) for batch in reader.stream(query)]
    times = read_times(pa.chunked_array(batches or [pa.nulls(0)]), given=wanted.time_format)
    return times.sql(column, reader.dialect.name), times.written


def _bare(query: str) -> str:
    """Return a query as it runs without parameters: no colon is escaped."""
    return query.replace("\\:", ":")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{', '.join(names[:LISTED]) or 'none'}{more}"
