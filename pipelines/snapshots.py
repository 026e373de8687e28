"""Makes a snapshot: source rows and received feedback in one table, with a hash that names them.

SQL on the table `snapshot` is in `core/snapshots.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.contracts import Snapshot
from core.errors import QueryRefused
from core.files import replacing, write_json
from pipelines.snapshot_files import AFTER, FACTS, PREVIOUS, ROWS, TRIMMED, ZONELESS
from pipelines.snapshot_merge import aligned, received_batches, source_batches
from pipelines.source.columns import MOMENT, canonical_schema
from pipelines.source.extract import extract, read_batches

ROW_GROUP_ROWS = 65_536


@dataclass(frozen=True)
class _Query:
    """A data owner's query with its label columns and the values of its parameters."""

    file: Path
    text: str
    label_columns: list[str]
    parameters: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its name in facts and in errors."""
        return f"queries/{self.file.name}"


def write_snapshot(
    folder: Path,
    *,
    dataset: str,
    query_file: Path,
    label_columns: Sequence[str],
    parameters: Mapping[str, Any],
    source_url: str,
    as_of: datetime,
    feedback: pa.Table | None,
    previous: Mapping[str, Any] | None,
) -> Snapshot:
    """Extract the source rows, merge the feedback, and write the snapshot into `folder`.

    Parameters
    ----------
    folder : Path
        data/<dataset>; gets rows.parquet, snapshot.json and previous.json.
    as_of : datetime
        The moment of the snapshot, with a zone.
    feedback : pa.Table or None
        Canonical columns and `origin`; label columns may be null or missing.
    previous : Mapping or None
        What `summarise` returned for the previous snapshot.

    Raises `SourceUnreachable` or `QueryRefused`.
    """
    query = _Query(query_file, _read(query_file), sorted(label_columns), parameters)
    folder.mkdir(parents=True, exist_ok=True)
    # a killed run leaves the temporary folder in data/, which is removed with its workspace
    with TemporaryDirectory(prefix=".extraction-", dir=folder.parent) as temporary:
        source = Path(temporary) / "rows.arrow"
        counts = _extract(query, url=source_url, target=source, as_of=as_of)
        rows, digest = _merge(source, folder / ROWS, query, feedback, as_of=as_of)
    snapshot = _describe(query, dataset=dataset, as_of=as_of, rows=rows, digest=digest)
    write_json(folder / FACTS, _facts(snapshot, query) | counts)
    write_json(folder / PREVIOUS, dict(previous or {}))
    return snapshot


def _describe(query: _Query, *, dataset: str, as_of: datetime, rows: int, digest: str) -> Snapshot:
    return Snapshot(
        dataset=dataset,
        as_of=as_of.astimezone(UTC),
        rows=rows,
        logical_hash=digest,
        query_hash=query_hash(
            query.text, parameters=query.parameters, label_columns=query.label_columns
        ),
    )


def summarise(folder: Path) -> dict[str, Any]:
    """Return {as_of, rows, labels: {column: {label: count}}}.

    This is the `summary` of the `snapshot` table, and the previous.json of the next snapshot.
    """
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    labels = {column: _label_counts(folder / ROWS, column) for column in facts["label_columns"]}
    return {"as_of": facts["as_of"], "rows": facts["rows"], "labels": labels}


def query_hash(query: str, *, parameters: Mapping[str, Any], label_columns: Sequence[str]) -> str:
    """Return the SHA-256 of the query's text, its parameters and its label columns."""
    content = [query, dict(parameters), sorted(label_columns)]
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def logical_hash(table: pa.Table) -> str:
    """Return a hash of the rows that depends neither on their order nor on that of the columns.

    It is the SHA-256 of the columns' names, the number of rows, and the sum of the rows' 256-bit
    hashes modulo 2**256.
    """
    return _digest(table.schema.names, table.to_batches())[1]


def _digest(names: Sequence[str], batches: Iterable[pa.RecordBatch]) -> tuple[int, str]:
    names = sorted(names)
    rows = 0
    total = 0
    for batch in batches:
        rows += len(batch)
        total += sum(
            int.from_bytes(hashlib.blake2b(row, digest_size=32).digest())
            for row in _encoded(batch, names)
        )
    content = {"columns": names, "rows": rows, "sum": f"{total % 2**256:064x}"}
    return rows, hashlib.sha256(orjson.dumps(content)).hexdigest()


def _encoded(batch: pa.RecordBatch, names: Sequence[str]) -> Iterator[bytes]:
    columns = [batch.column(name) for name in names]
    plain = [
        column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        for column in columns
    ]
    return map(orjson.dumps, zip(*(column.to_pylist() for column in plain), strict=True))


def _extract(query: _Query, *, url: str, target: Path, as_of: datetime) -> dict[str, Any]:
    """Extract the source rows; return the facts about them that are not 0 or empty.

    An error of the query names its file.
    """
    try:
        extraction = extract(
            query.text,
            url=url,
            target=target,
            parameters=query.parameters,
            label_columns=query.label_columns,
        )
    except QueryRefused as error:
        raise QueryRefused(f"{error.wanted} ({query.name})", came=error.came, do=error.do) from None
    later = _rows_after(target, as_of, query, rows=extraction.rows)
    counts = {AFTER: later, ZONELESS: extraction.zoneless, TRIMMED: dict(extraction.trimmed)}
    return {name: count for name, count in counts.items() if count}


def _rows_after(source: Path, as_of: datetime, query: _Query, *, rows: int) -> int:
    """Return the number of rows later than the moment, which a snapshot leaves out.

    Raises `QueryRefused` when these are all rows.
    """
    moment = pa.scalar(as_of, MOMENT)
    later = 0
    for batch in read_batches(source):
        later += pc.sum(pc.greater(batch.column("occurred_at"), moment)).as_py() or 0
    if later == rows:
        raise QueryRefused(
            f"a row of {as_of:%Y-%m-%d %H:%M} UTC or before ({query.name})",
            came=f"{later} rows, all of them later",
            do="correct the times or their zone in the query, or name a later moment",
        )
    return later


def _read(query_file: Path) -> str:
    try:
        return query_file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise QueryRefused(
            f"a readable queries/{query_file.name}",
            came=str(error),
            do="correct source.query in params.yaml",
        ) from None


def _merge(
    source: Path,
    target: Path,
    query: _Query,
    feedback: pa.Table | None,
    *,
    as_of: datetime,
) -> tuple[int, str]:
    """Write the source rows, then the feedback rows by (occurred_at, id).

    A feedback row replaces the source row with its id, whose other labels it keeps; its origin is
    then BOTH. Returns the number of rows and their logical hash.
    """
    schema = canonical_schema(query.label_columns).append(pa.field("origin", pa.string()))
    received = aligned(feedback, schema)
    replaced: list[pa.RecordBatch] = []
    batches = source_batches(source, schema, received.column("id"), replaced, as_of=as_of)
    merged = received_batches(received, replaced, query.label_columns)
    with replacing(target) as part:
        _write_rows(part, schema, chain(batches, merged))
        return _digest(schema.names, pq.ParquetFile(part).iter_batches())


def _write_rows(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Write row groups of ROW_GROUP_ROWS from batches of any size: equal rows give equal bytes."""
    repeated = [name for name in schema.names if name != "id"]
    with pq.ParquetWriter(path, schema, use_dictionary=repeated, compression="zstd") as writer:
        for group in _groups(schema, batches):
            writer.write_table(group, row_group_size=ROW_GROUP_ROWS)


def _groups(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    pending: list[pa.RecordBatch] = []
    for batch in filter(len, batches):  # an empty one at the end would become a group
        pending.append(batch)
        while sum(map(len, pending)) >= ROW_GROUP_ROWS:
            table = pa.Table.from_batches(pending, schema)
            yield table.slice(0, ROW_GROUP_ROWS).combine_chunks()
            pending = table.slice(ROW_GROUP_ROWS).to_batches()
    if pending:
        yield pa.Table.from_batches(pending, schema).combine_chunks()


def _label_counts(rows: Path, column: str) -> dict[str, int]:
    labels = Counter(pq.read_table(rows, columns=[column]).column(column).drop_null().to_pylist())
    return dict(sorted(labels.items()))


def _facts(snapshot: Snapshot, query: _Query) -> dict[str, Any]:
    return {
        "dataset": snapshot.dataset,
        "as_of": snapshot.as_of.isoformat(),
        "rows": snapshot.rows,
        "logical_hash": snapshot.logical_hash,
        "query_hash": snapshot.query_hash,
        "label_columns": query.label_columns,
        "query": query.name,
        "parameters": dict(query.parameters),
    }
