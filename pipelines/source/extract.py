"""From the source database to a Parquet file: streamed, ordered, atomic, retried when the connection is lost."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import stamina

from core.errors import NO_ROOM, DiskFull, QueryRefused, SourceUnreachable
from pipelines.source import queries
from pipelines.source.columns import Canonical, choose_columns
from pipelines.source.readers import open_reader

ROW_GROUP_ROWS = 65_536
ATTEMPTS = 4


@dataclass(frozen=True)
class Extraction:
    """What came: `rows` (at least 1), and how many of them had a time without a zone, which was taken as UTC."""

    rows: int
    zoneless: int


def extract(query: str, *, url: str, target: Path, parameters: Mapping[str, Any] | None = None, label_columns: Sequence[str]) -> Extraction:
    """Write the query's rows to `target`.

    The file holds `columns.canonical_schema(label_columns)`, ordered by (occurred_at, id); equal rows give equal bytes. It is
    written to be read once: quickly, and somewhat larger than a snapshot.
    A failure leaves nothing new: what was at `target` before stays.

    Raises
    ------
    SourceUnreachable
        After ATTEMPTS attempts.
    SettingsError
        The URL is none, or its driver is not installed.
    QueryRefused
        The query fails, lacks a column or returns no row.
    """
    for attempt in stamina.retry_context(on=SourceUnreachable, attempts=ATTEMPTS, timeout=None, wait_initial=0.2, wait_max=5.0):
        with attempt:
            return _extract_once(query, url=url, target=target, parameters=parameters or {}, label_columns=label_columns)
    raise AssertionError("stamina raises after the last attempt")


def _extract_once(query: str, *, url: str, target: Path, parameters: Mapping[str, Any], label_columns: Sequence[str]) -> Extraction:
    canonical = Canonical(label_columns)
    with open_reader(url) as reader:
        bound = queries.bind(query, parameters=parameters, dialect=reader.dialect)
        columns = choose_columns(reader.columns(queries.probe(bound)), label_columns)
        ordered = queries.ordered(bound, columns=columns, dialect=reader.dialect)
        with replaced(target) as part, closing(reader.stream(ordered)) as stream:  # closed before its connection is, whatever happens
            batches = (canonical.convert(batch) for batch in stream)
            rows = write_rows(part, (canonical.schema, batches), passing=True)
            if not rows:
                raise QueryRefused("at least one row", came="none", do="correct the query or its parameters")
    return Extraction(rows, canonical.zoneless)


def write_rows(path: Path, rows: tuple[pa.Schema, Iterable[pa.RecordBatch]], *, passing: bool = False) -> int:
    """Write batches of any size as row groups of ROW_GROUP_ROWS, so that equal rows give equal bytes; return the number of rows.

    A `passing` file, to be read once and removed, takes two thirds of the time and a third more room.
    """
    (schema, batches), total = rows, 0
    unique = {"id", "occurred_at"} if passing else {"id"}  # a dictionary of ids costs a third of the writing
    repeated = [name for name in schema.names if name not in unique]
    how = {"compression": "lz4" if passing else "zstd", "write_statistics": not passing}
    with pq.ParquetWriter(path, schema, use_dictionary=repeated, **how) as writer:
        for group in _groups(schema, batches):
            writer.write_table(group, row_group_size=ROW_GROUP_ROWS)
            total += len(group)
    return total


def _groups(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        while sum(map(len, waiting)) >= ROW_GROUP_ROWS:
            table = pa.Table.from_batches(waiting, schema)
            yield table.slice(0, ROW_GROUP_ROWS).combine_chunks()
            waiting = table.slice(ROW_GROUP_ROWS).to_batches()
    if waiting:
        yield pa.Table.from_batches(waiting, schema).combine_chunks()


@contextmanager
def replaced(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` to write to; rename it at the end, remove it after a failure. Raises `DiskFull`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        yield part
        os.replace(part, target)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        do = "make room there, then run again; what was there before stays"
        raise DiskFull(f"room for {target.name} in {target.parent}", came=error.strerror or str(error), do=do) from None
    finally:
        part.unlink(missing_ok=True)
