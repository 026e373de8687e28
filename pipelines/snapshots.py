"""The labelled phrases of a moment, frozen: source rows and the feedback received, in one table, with a hash that names them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from pipelines.snapshot_files import AFTER, FACTS, PREVIOUS, ROWS, ZONELESS
from pipelines.source.columns import MOMENT, canonical_schema
from pipelines.source.extract import Extraction, extract, read_batches

ROW_GROUP_ROWS = 65_536


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
    """Extract, merge the feedback and write rows.parquet, snapshot.json and previous.json into `folder` (data/<dataset>).

    Parameters
    ----------
    query_file : Path
        Named in the facts and in errors by its name under `queries/`.
    as_of : datetime
        Aware; the moment that the snapshot speaks of.
    feedback : pa.Table or None
        Canonical columns and `origin`; labels may be null, or missing as columns.
    previous : Mapping or None
        What `summarise` gave for the snapshot before.

    Raises
    ------
    SourceUnreachable, QueryRefused
    """
    labels, query = sorted(label_columns), _read(query_file)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(
        prefix=".extraction-", dir=folder.parent
    ) as passing:  # what a killed run leaves goes with its data/
        source = Path(passing) / "rows.arrow"
        came = _extract_named(
            query_file,
            query,
            url=source_url,
            target=source,
            parameters=parameters,
            label_columns=labels,
        )
        future = _rows_after(source, as_of, query_file, rows=came.rows)
        rows, digest = _merge(source, folder / ROWS, labels, feedback, as_of=as_of)
    snapshot = Snapshot(
        dataset,
        as_of.astimezone(UTC),
        rows,
        digest,
        query_hash(query, parameters=parameters, label_columns=labels),
    )
    facts = _facts(snapshot) | {
        "label_columns": labels,
        "query": f"queries/{query_file.name}",
        "parameters": dict(parameters),
    }
    write_json(folder / FACTS, facts | _counted(after=future, zoneless=came.zoneless))
    write_json(folder / PREVIOUS, dict(previous or {}))
    return snapshot


def summarise(folder: Path) -> dict[str, Any]:
    """Return {as_of, rows, labels: {column: {label: count}}}: the `summary` of the `snapshot` table, and the next previous.json."""
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    labels = {column: _label_counts(folder / ROWS, column) for column in facts["label_columns"]}
    return {"as_of": facts["as_of"], "rows": facts["rows"], "labels": labels}


def query_hash(query: str, *, parameters: Mapping[str, Any], label_columns: Sequence[str]) -> str:
    """Name what was asked: the text, the values bound to it and the label columns taken from it."""
    asked = [query, dict(parameters), sorted(label_columns)]
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()


def logical_hash(table: pa.Table) -> str:
    """Name the rows, whatever their order and the order of the columns.

    The sum of the rows' 256-bit hashes modulo 2**256, hashed with the names of the columns and the number of rows.
    """
    return _digest(table.schema.names, table.to_batches())[1]


def _digest(names: Sequence[str], batches: Iterable[pa.RecordBatch]) -> tuple[int, str]:
    names, rows, total = sorted(names), 0, 0
    for batch in batches:
        rows += len(batch)
        total += sum(
            int.from_bytes(hashlib.blake2b(row, digest_size=32).digest())
            for row in _encoded(batch, names)
        )
    stated = {"columns": names, "rows": rows, "sum": f"{total % 2**256:064x}"}
    return rows, hashlib.sha256(orjson.dumps(stated)).hexdigest()


def _encoded(batch: pa.RecordBatch, names: Sequence[str]) -> Iterator[bytes]:
    columns = [batch.column(name) for name in names]
    plain = [
        column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        for column in columns
    ]
    return map(orjson.dumps, zip(*(column.to_pylist() for column in plain), strict=True))


def _rows_after(source: Path, as_of: datetime, query_file: Path, *, rows: int) -> int:
    """How many of the rows the source dates after the moment; a snapshot leaves them out. Raises `QueryRefused` when that is all."""
    moment = pa.scalar(as_of, MOMENT)
    found = sum(
        pc.sum(pc.greater(batch.column("occurred_at"), moment)).as_py() or 0
        for batch in read_batches(source)
    )
    if found == rows:
        came, do = (
            f"{found} rows, all of them later",
            "correct the times or their zone in the query, or name a later moment",
        )
        raise QueryRefused(
            f"a row of {as_of:%Y-%m-%d %H:%M} UTC or before (queries/{query_file.name})",
            came=came,
            do=do,
        )
    return found


def _extract_named(query_file: Path, query: str, **how: Any) -> Extraction:
    try:
        return extract(query, **how)
    except QueryRefused as error:
        raise QueryRefused(
            f"{error.wanted} (queries/{query_file.name})", came=error.came, do=error.do
        ) from None


def _read(query_file: Path) -> str:
    try:
        return query_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise QueryRefused(
            f"a readable queries/{query_file.name}",
            came=str(error),
            do="correct source.query in params.yaml",
        ) from None


def _merge(
    source: Path,
    target: Path,
    label_columns: Sequence[str],
    feedback: pa.Table | None,
    *,
    as_of: datetime,
) -> tuple[int, str]:
    """Source rows without those that feedback replaces, then the feedback rows by (occurred_at, id); return rows and logical hash."""
    schema = canonical_schema(label_columns).append(pa.field("origin", pa.string()))
    late = _aligned(feedback, schema)
    batches = _source_batches(source, schema, replaced_ids=late.column("id"), as_of=as_of)
    with replacing(target) as part:
        _write_rows(part, schema, chain(batches, late.to_batches()))
        return _digest(schema.names, pq.ParquetFile(part).iter_batches())


def _write_rows(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Batches of any size become row groups of ROW_GROUP_ROWS, so that equal rows give equal bytes."""
    repeated = [name for name in schema.names if name != "id"]
    with pq.ParquetWriter(path, schema, use_dictionary=repeated, compression="zstd") as writer:
        for group in _groups(schema, batches):
            writer.write_table(group, row_group_size=ROW_GROUP_ROWS)


def _groups(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    for batch in filter(len, batches):  # an empty one at the end would make a group of its own
        waiting.append(batch)
        while sum(map(len, waiting)) >= ROW_GROUP_ROWS:
            table = pa.Table.from_batches(waiting, schema)
            yield table.slice(0, ROW_GROUP_ROWS).combine_chunks()
            waiting = table.slice(ROW_GROUP_ROWS).to_batches()
    if waiting:
        yield pa.Table.from_batches(waiting, schema).combine_chunks()


def _source_batches(
    source: Path, schema: pa.Schema, *, replaced_ids: pa.ChunkedArray, as_of: datetime
) -> Iterator[pa.RecordBatch]:
    """What the source knew at `as_of`: a row of the future is left out."""
    ids, moment = replaced_ids.combine_chunks(), pa.scalar(as_of, MOMENT)
    for batch in read_batches(source):
        known = pc.less_equal(batch.column("occurred_at"), moment)
        kept = batch.filter(pc.and_(known, pc.invert(pc.is_in(batch.column("id"), value_set=ids))))
        origin = pa.array(["source"] * len(kept), pa.string())
        yield pa.record_batch([*kept.columns, origin], schema=schema)


def _aligned(feedback: pa.Table | None, schema: pa.Schema) -> pa.Table:
    if feedback is None:
        return schema.empty_table()
    columns = [
        feedback.column(field.name).cast(field.type)
        if field.name in feedback.column_names
        else pa.nulls(len(feedback), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema).sort_by(
        [("occurred_at", "ascending"), ("id", "ascending")]
    )


def _label_counts(rows: Path, column: str) -> dict[str, int]:
    labels = Counter(pq.read_table(rows, columns=[column]).column(column).drop_null().to_pylist())
    return dict(sorted(labels.items()))


def _facts(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "dataset": snapshot.dataset,
        "as_of": snapshot.as_of.isoformat(),
        "rows": snapshot.rows,
        "logical_hash": snapshot.logical_hash,
        "query_hash": snapshot.query_hash,
    }


def _counted(*, after: int, zoneless: int) -> dict[str, int]:
    return {name: count for name, count in ((AFTER, after), (ZONELESS, zoneless)) if count}
