"""Feedback imported from files, and read as rows of a snapshot. Its rules are in core/feedback.py.

Labels about answers take phrase and moment from the log; examples bring their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.contracts import ANSWERING
from core.feedback import (
    NONE_OF_THESE,
    FeedbackRow,
    Labels,
    insert_feedback,
    separate_feedback,
)
from core.tables.loop import feedback, inference
from core.tables.pins import says_more_than_the_pin
from monitoring.drift.faults import is_faulty
from monitoring.labels.feedback_file import Line, Refusal, Unlabelled, read_feedback_file
from pipelines.snapshot_merge import NO_LABEL

AHEAD = timedelta(days=1)
"""A label may be dated this far in the future, where its zone is wrong. It waits until then."""
CHUNK = 2000
NO_REGIONS: Mapping[str, str] = MappingProxyType({})
REFUSALS_SHOWN = 1000


@dataclass(frozen=True)
class ImportCounts:
    """The result of an import: rows accepted, rows known already, and rows refused.

    `refusals` holds the first REFUSALS_SHOWN of the refused rows, with the reason of each.
    `unlabelled` counts the tasks that nobody has labelled yet.
    """

    accepted: int = 0
    repeated: int = 0
    refused: int = 0
    refusals: tuple[Refusal, ...] = field(default=())
    unlabelled: int = 0

    def plus(
        self,
        *,
        accepted: int = 0,
        repeated: int = 0,
        refusals: Iterable[Refusal] = (),
        unlabelled: int = 0,
    ) -> ImportCounts:
        more = tuple(refusals)
        return ImportCounts(
            self.accepted + accepted,
            self.repeated + repeated,
            self.refused + len(more),
            (self.refusals + more)[:REFUSALS_SHOWN],
            self.unlabelled + unlabelled,
        )


def import_feedback(
    connection: Connection, file: Path, *, received_at: datetime | None = None
) -> ImportCounts:
    """Store the valid rows of a CSV or JSON-lines file; refuse the others. The caller commits.

    The columns are request_id, label, author and, if known, received_at, kind and, for samples,
    probability. Rows without received_at get `received_at` (default: now), and count as repeated
    when the same author has sent the same label before. Rows dated more than AHEAD after that
    moment are refused. Raises `InvalidFeedback` when the file as a whole cannot be read.
    """
    return import_lines(connection, read_feedback_file(file), received_at=received_at)


def import_lines(
    connection: Connection,
    lines: Iterator[Line],
    *,
    received_at: datetime | None = None,
    labels: Labels | None = None,
) -> ImportCounts:
    """Store what `read_feedback_file` or `read_labels` yields; see `import_feedback`."""
    moment = received_at or datetime.now(UTC)
    counts = ImportCounts()
    while chunk := list(islice(lines, CHUNK)):
        chunk = [_not_ahead(line, moment) for line in chunk]
        rows = [line for line in chunk if isinstance(line, FeedbackRow)]
        separated = separate_feedback(connection, rows, labels=labels)
        insert_feedback(connection, [_received(row, moment) for row in separated.accepted])

        unlabelled = sum(isinstance(line, Unlabelled) for line in chunk)
        unreadable = [line for line in chunk if isinstance(line, Refusal)]
        refused = [Refusal(row.row, str(error)) for row, error in separated.problems]
        counts = counts.plus(
            accepted=len(separated.accepted),
            repeated=separated.repeated,
            refusals=sorted(unreadable + refused, key=lambda refusal: refusal.row),
            unlabelled=unlabelled,
        )
    return counts


def _not_ahead(line: Line, moment: datetime) -> Line:
    if not isinstance(line, FeedbackRow) or line.received_at is None:
        return line
    if line.received_at <= moment + AHEAD:
        return line
    return Refusal(
        line.row,
        f"received_at: expected a time in the past, got {line.received_at:%Y-%m-%d %H:%M} UTC",
    )


def _received(row: FeedbackRow, moment: datetime) -> FeedbackRow:
    return row if row.received_at else replace(row, received_at=moment)


def feedback_rows(
    connection: Connection,
    *,
    label_columns: Mapping[str, str],
    received_by: datetime,
    regions: Mapping[str, str] = NO_REGIONS,
) -> pa.Table:
    """Return the feedback as snapshot rows, ordered by (occurred_at, id).

    The columns are id, phrase, occurred_at, region, the label columns and origin. The id is the
    request id, or that of the row of the source that a decision replaces.
    Only feedback received by `received_by` counts; of several labels for one request, or for one
    row of the source, the one received last.
    Labels of answers that people called a fault of the data by then are left out.
    A row of the source that no label fits, by the newest decision, has the label NO_LABEL.
    A label that only repeats the pin of its answer teaches nothing. `regions` maps each line of
    versions to its region: what people say of its answers trains that line, whatever region the
    request named.
    """
    columns = sorted(set(label_columns.values()))
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("phrase", pa.string()),
            ("occurred_at", pa.timestamp("us", tz="UTC")),
            ("region", pa.string()),
            *((column, pa.string()) for column in columns),
            ("origin", pa.string()),
        ]
    )
    newest = connection.execute(_newest(label_columns, received_by))
    rows = _one_of_each_id(_as_row(row, columns, label_columns, regions) for row in newest)
    return pa.Table.from_pylist(rows, schema=schema)


def _one_of_each_id(rows: Iterable[dict[str, object]]) -> list[dict[str, object]]:
    """Put the labels of several classifiers for one row of the source into one row.

    `rows` come in the order of receipt, the newest first; it wins. The result is ordered by
    (occurred_at, id).
    """
    by_id: dict[object, dict[str, object]] = {}
    for row in rows:
        known = by_id.setdefault(row["id"], row)
        known.update({name: value for name, value in row.items() if known[name] is None})
    return sorted(by_id.values(), key=lambda row: (row["occurred_at"], row["id"]))


def _as_row(
    row: sa.Row[Any],
    columns: list[str],
    label_columns: Mapping[str, str],
    regions: Mapping[str, str],
) -> dict[str, object]:
    label_column = label_columns[row.classifier]
    labels = {column: row.label if column == label_column else None for column in columns}
    return {
        "id": row.row_id,
        "phrase": row.phrase,
        "occurred_at": row.occurred_at,
        "region": regions.get(row.classifier, row.region),
        **labels,
        "origin": "feedback",
    }


def newest_feedback(*, received_by: datetime | None = None) -> sa.Subquery:
    """Select the newest label of every request, with all columns of `feedback`.

    A request whose newest feedback says "none of these" has no label.
    """
    newest = _newest_of_requests(received_by)
    return sa.select(newest).where(newest.c.kind != NONE_OF_THESE).subquery()


def _newest_of_requests(received_by: datetime | None) -> sa.Subquery:
    query = sa.select(feedback).distinct(feedback.c.request_id)
    if received_by is not None:
        query = query.where(feedback.c.received_at <= received_by)
    return query.order_by(
        feedback.c.request_id, feedback.c.received_at.desc(), feedback.c.id.desc()
    ).subquery()


CORRECTED = sa.select(feedback.c.request_id)
"""The requests with feedback: few, compared with the log."""


def answered(requests: sa.Select[Any]) -> sa.Subquery:
    """Select the row that answered each request; shadows share its id and are left out."""
    query = (
        sa.select(inference)
        .distinct(inference.c.request_id)
        .where(inference.c.role.in_(ANSWERING), inference.c.request_id.in_(requests))
    )
    return query.order_by(inference.c.request_id, inference.c.occurred_at).subquery()


def _newest(label_columns: Mapping[str, str], received_by: datetime) -> sa.Select[Any]:
    newest = _newest_of_requests(received_by)
    answer = answered(CORRECTED)
    is_none = newest.c.kind == NONE_OF_THESE
    occurred_at = sa.func.coalesce(newest.c.occurred_at, answer.c.occurred_at)
    phrase = sa.func.coalesce(newest.c.phrase, answer.c.phrase)
    query = sa.select(
        sa.func.coalesce(newest.c.source_row, newest.c.request_id).label("row_id"),
        newest.c.classifier,
        sa.case((is_none, NO_LABEL), else_=newest.c.label).label("label"),
        phrase.label("phrase"),
        occurred_at.label("occurred_at"),
        sa.func.coalesce(newest.c.region, answer.c.region).label("region"),
    )
    joined = query.outerjoin(answer, answer.c.request_id == newest.c.request_id)
    of_dataset = joined.where(
        newest.c.classifier.in_(list(label_columns)),
        sa.or_(~is_none, newest.c.source_row.is_not(None)),
        phrase.is_not(None),
        ~is_faulty(answer, as_of=received_by),
        says_more_than_the_pin(answer, sa.func.btrim(newest.c.label)),
    )
    return of_dataset.order_by(newest.c.received_at.desc(), newest.c.id.desc())
