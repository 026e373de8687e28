"""From the source database to an Arrow file: streamed, ordered, atomic, retried when the connection is lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import stamina

from core.errors import QueryRefused, SourceUnreachable
from core.files import replacing
from pipelines.source import queries
from pipelines.source.columns import Canonical, choose_columns
from pipelines.source.readers import open_reader

ATTEMPTS = 4


@dataclass(frozen=True)
class Extraction:
    """What came: `rows` (at least 1), and how many of them had a time without a zone, which was taken as UTC."""

    rows: int
    zoneless: int


def extract(
    query: str,
    *,
    url: str,
    target: Path,
    parameters: Mapping[str, Any] | None = None,
    label_columns: Sequence[str],
) -> Extraction:
    """Write the query's rows to `target`.

    The file holds `columns.canonical_schema(label_columns)`, ordered by (occurred_at, id); equal rows read from
    equal batches give equal bytes. It is an Arrow file, to be read once: five times the room of Parquet, a third less of the client's CPU.
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
    for attempt in stamina.retry_context(
        on=SourceUnreachable, attempts=ATTEMPTS, timeout=None, wait_initial=0.2, wait_max=5.0
    ):
        with attempt:
            return _extract_once(
                query,
                url=url,
                target=target,
                parameters=parameters or {},
                label_columns=label_columns,
            )
    raise AssertionError("stamina raises after the last attempt")


def _extract_once(
    query: str,
    *,
    url: str,
    target: Path,
    parameters: Mapping[str, Any],
    label_columns: Sequence[str],
) -> Extraction:
    canonical = Canonical(label_columns)
    with open_reader(url) as reader:
        bound = queries.bind(query, parameters=parameters, dialect=reader.dialect)
        columns = choose_columns(reader.columns(queries.probe(bound)), label_columns)
        ordered = queries.ordered(bound, columns=columns, dialect=reader.dialect)
        with (
            replacing(target) as part,
            closing(reader.stream(ordered)) as stream,
        ):  # closed before its connection is, whatever happens
            batches = (canonical.convert(batch) for batch in stream)
            rows = write_batches(part, canonical.schema, batches)
            if not rows:
                raise QueryRefused(
                    "at least one row", came="none", do="correct the query or its parameters"
                )
    return Extraction(rows, canonical.zoneless)


def write_batches(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    """Write an Arrow file of the batches as they are; return the number of rows."""
    rows = 0
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += len(batch)
    return rows


def read_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield what `write_batches` wrote, one batch in memory at a time."""
    with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)
