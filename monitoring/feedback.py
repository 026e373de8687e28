"""Feedback: the right labels, arriving later from people and systems.

Recorded once, imported from files, and read as rows of a snapshot.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.contracts import ANSWERING
from core.errors import InvalidFeedback, PerennialError, UnknownRequest
from core.tables import feedback, inference
from monitoring.feedback_file import FeedbackRow, Refusal, read_feedback_file

AHEAD = timedelta(days=1)
"""A label may be dated this far in the future, where its zone is wrong. It waits until then."""
CHUNK = 2000
REFUSALS_SHOWN = 1000

Labels = Mapping[str, Collection[str]]


@dataclass(frozen=True)
class FeedbackCounts:
    """The result of an import: rows accepted, rows known already, and rows refused.

    `refusals` holds the first REFUSALS_SHOWN of the refused rows, with the reason of each.
    """

    accepted: int = 0
    repeated: int = 0
    refused: int = 0
    refusals: tuple[Refusal, ...] = field(default=())

    def plus(
        self, *, accepted: int = 0, repeated: int = 0, refusals: Iterable[Refusal] = ()
    ) -> FeedbackCounts:
        more = tuple(refusals)
        return FeedbackCounts(
            self.accepted + accepted,
            self.repeated + repeated,
            self.refused + len(more),
            (self.refusals + more)[:REFUSALS_SHOWN],
        )


def record_feedback(
    connection: Connection,
    *,
    request_id: str,
    label: str,
    author: str,
    received_at: datetime,
    labels: Labels | None = None,
    kind: str = "unknown",
    probability: float | None = None,
) -> bool:
    """Store one right label; return False when the identical row exists. The caller commits.

    Parameters
    ----------
    kind : one of `feedback_file.KINDS`
    probability : how likely the answer was to be sampled, for the kind "sample" alone
    labels : mapping of classifier to its labels, optional
        A label outside them is refused. Classifiers without an entry are not checked.

    Raises
    ------
    UnknownRequest, InvalidFeedback
    """
    row = FeedbackRow(
        0,
        request_id,
        label.strip(),
        author.strip(),
        received_at,
        kind=kind,
        probability=probability,
    )
    accepted, repeated, problems = _separate(connection, [row], labels)
    if problems:
        raise problems[0][1]
    _insert(connection, accepted)
    return not repeated


def import_feedback(
    connection: Connection,
    file: Path,
    *,
    received_at: datetime | None = None,
    labels: Labels | None = None,
) -> FeedbackCounts:
    """Store the valid rows of a CSV or JSON-lines file; refuse the others. The caller commits.

    The columns are request_id, label, author and, if known, received_at, kind and, for samples,
    probability. Rows without received_at get
    `received_at` (default: now), and count as repeated when the same author has sent the same label
    before. Rows dated more than AHEAD after that moment are refused. Raises `InvalidFeedback` when
    the file as a whole cannot be read.
    """
    moment = received_at or datetime.now(UTC)
    counts = FeedbackCounts()
    lines = read_feedback_file(file)
    while chunk := list(islice(lines, CHUNK)):
        chunk = [_not_ahead(line, moment) for line in chunk]
        rows = [line for line in chunk if isinstance(line, FeedbackRow)]
        accepted, repeated, problems = _separate(connection, rows, labels)
        _insert(connection, [_received(row, moment) for row in accepted])

        unreadable = [line for line in chunk if isinstance(line, Refusal)]
        refused = [Refusal(row.row, str(error)) for row, error in problems]
        counts = counts.plus(
            accepted=len(accepted),
            repeated=repeated,
            refusals=sorted(unreadable + refused, key=lambda refusal: refusal.row),
        )
    return counts


def _not_ahead(line: FeedbackRow | Refusal, moment: datetime) -> FeedbackRow | Refusal:
    if isinstance(line, Refusal) or not line.received_at or line.received_at <= moment + AHEAD:
        return line
    return Refusal(
        line.row,
        f"received_at: wanted a time that has come; came {line.received_at:%Y-%m-%d %H:%M} UTC",
    )


def _received(row: FeedbackRow, moment: datetime) -> FeedbackRow:
    return row if row.received_at else replace(row, received_at=moment)


def feedback_rows(
    connection: Connection, *, label_columns: Mapping[str, str], received_by: datetime
) -> pa.Table:
    """Return the feedback as snapshot rows, ordered by (occurred_at, id).

    The columns are id (the request id), phrase, occurred_at, region, the label columns and origin.
    Only feedback received by `received_by` counts; of several labels for one request, the newest.
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
    rows = [_as_row(row, columns, label_columns) for row in newest]
    return pa.Table.from_pylist(rows, schema=schema)


def _as_row(
    row: sa.Row[Any], columns: list[str], label_columns: Mapping[str, str]
) -> dict[str, object]:
    label_column = label_columns[row.classifier]
    labels = {column: row.label if column == label_column else None for column in columns}
    return {
        "id": row.request_id,
        "phrase": row.phrase,
        "occurred_at": row.occurred_at,
        "region": row.region,
        **labels,
        "origin": "feedback",
    }


def newest_feedback(*, received_by: datetime | None = None) -> sa.Subquery:
    """Select the newest feedback of every request, with all columns of `feedback`."""
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
    newest = newest_feedback(received_by=received_by)
    answer = answered(CORRECTED)
    query = sa.select(
        newest.c.request_id,
        newest.c.classifier,
        newest.c.label,
        answer.c.phrase,
        answer.c.occurred_at,
        answer.c.region,
    )
    joined = query.join(answer, answer.c.request_id == newest.c.request_id)
    of_dataset = joined.where(newest.c.classifier.in_(list(label_columns)))
    return of_dataset.order_by(answer.c.occurred_at, newest.c.request_id)


Identity = tuple[object, ...]
Problem = tuple[FeedbackRow, PerennialError]


def _separate(
    connection: Connection, rows: list[FeedbackRow], labels: Labels | None
) -> tuple[list[FeedbackRow], int, list[Problem]]:
    """Separate rows: accepted (with their classifier), number of repeated ones, and problems."""
    classifier_of = _classifiers(connection, {row.request_id for row in rows})
    known, known_labels = _known(connection, list(classifier_of))
    accepted: list[FeedbackRow] = []
    problems: list[Problem] = []
    repeated = 0
    for row in rows:
        error = _problem(row, classifier_of.get(row.request_id), labels)
        if error is not None:
            problems.append((row, error))
        elif row.identity in (known if row.received_at else known_labels):
            repeated += 1
        else:
            accepted.append(replace(row, classifier=classifier_of[row.request_id]))
            known.add(row.identity)
            known_labels.add(row.identity[:3])
    return accepted, repeated, problems


def _problem(
    row: FeedbackRow, classifier: str | None, labels: Labels | None
) -> PerennialError | None:
    if not row.label.strip() or not row.author.strip():
        return InvalidFeedback("a label and an author", came="an empty one", do="give both")
    if classifier is None:
        return UnknownRequest(
            "the request id of a logged answer",
            came=row.request_id[:80],
            do="send the request_id of the answer",
        )
    if labels is not None and classifier in labels and row.label not in labels[classifier]:
        return InvalidFeedback(
            f"a label of {classifier}",
            came=row.label[:80],
            do="choose one of the classifier's labels",
        )
    return None


def _classifiers(connection: Connection, request_ids: set[str]) -> dict[str, str]:
    query = sa.select(inference.c.request_id, inference.c.classifier).where(
        inference.c.request_id.in_(list(request_ids)), inference.c.role.in_(ANSWERING)
    )
    return {row.request_id: row.classifier for row in connection.execute(query)}


def _known(connection: Connection, request_ids: list[str]) -> tuple[set[Identity], set[Identity]]:
    """Return the identities of the stored rows, with and without `received_at`."""
    columns = (feedback.c.request_id, feedback.c.label, feedback.c.author, feedback.c.received_at)
    query = sa.select(*columns).where(feedback.c.request_id.in_(request_ids))
    rows = [tuple(row) for row in connection.execute(query)]
    return set(rows), {row[:3] for row in rows}


def _insert(connection: Connection, rows: list[FeedbackRow]) -> None:
    columns = (
        "received_at",
        "request_id",
        "classifier",
        "label",
        "author",
        "kind",
        "probability",
    )
    values = [{column: getattr(row, column) for column in columns} for row in rows]
    if values:
        connection.execute(feedback.insert(), values)
