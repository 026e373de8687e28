"""Merges the rows of the source with feedback: batches in, batches out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.snapshot_files import BOTH
from pipelines.source.columns import MOMENT
from pipelines.source.extract import read_batches

NO_LABEL = ""
"""The label of a feedback row that takes away the label of a row of the source: none fits it."""


def source_batches(
    source: Path,
    schema: pa.Schema,
    received_ids: pa.ChunkedArray,
    replaced: list[pa.RecordBatch],
    *,
    as_of: datetime,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of the source up to `as_of`, without those that feedback replaces.

    These are appended to `replaced`.
    """
    ids = received_ids.combine_chunks()
    moment = pa.scalar(as_of, MOMENT)
    for batch in read_batches(source):
        is_known = pc.less_equal(batch.column("occurred_at"), moment)
        is_replaced = pc.is_in(batch.column("id"), value_set=ids)
        replaced.append(batch.filter(pc.and_(is_known, is_replaced)))
        rows = batch.filter(pc.and_(is_known, pc.invert(is_replaced)))
        origin = pa.array(["source"] * len(rows), pa.string())
        yield pa.record_batch([*rows.columns, origin], schema=schema)


def received_batches(
    received: pa.Table, replaced: list[pa.RecordBatch], label_columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Yield the feedback rows; `replaced` is complete once the source has been read.

    NO_LABEL becomes null. A row without any label that the source no longer has is left out.
    """
    if replaced:
        source = pa.Table.from_batches(replaced)
        places = pc.index_in(
            received.column("id"), value_set=source.column("id").combine_chunks()
        ).combine_chunks()
        for name in label_columns:
            # Feedback names the label of one classifier; the row keeps those of the others.
            labels = pc.coalesce(received.column(name), source.column(name).take(places))
            received = received.set_column(received.column_names.index(name), name, labels)
        origin = pc.if_else(places.is_valid(), BOTH, received.column("origin"))
        received = received.drop_columns("origin").append_column("origin", origin)
    yield from _without_taken_labels(received, label_columns).to_batches()


def _without_taken_labels(received: pa.Table, label_columns: Sequence[str]) -> pa.Table:
    taken = pa.array([NO_LABEL])
    some_label = pc.equal(received.column("origin"), BOTH)
    for name in label_columns:
        labels = received.column(name)
        labels = pc.if_else(pc.is_in(labels, value_set=taken), None, labels)
        received = received.set_column(received.column_names.index(name), name, labels)
        some_label = pc.or_(some_label, labels.is_valid())
    return received.filter(some_label)


def aligned(feedback: pa.Table | None, schema: pa.Schema) -> pa.Table:
    """Return the feedback in the columns of the schema, by (occurred_at, id)."""
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
