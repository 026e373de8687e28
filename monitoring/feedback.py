"""Right labels that arrive later, from people and systems: recorded once, imported from files, read as training rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.contracts import ANSWERING
from core.errors import InvalidFeedback, PerennialError, UnknownRequest
from core.tables import feedback, inference
from monitoring.feedback_file import Late, Refusal, read_feedback_file

CHUNK = 2000

Labels = Mapping[str, Collection[str]]


@dataclass(frozen=True)
class FeedbackCounts:
    """What became of a file: rows kept, rows known already, and the refused ones (the first 1,000 with row and reason)."""

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
            (self.refusals + more)[:1000],
        )


def record_feedback(
    connection: Connection,
    *,
    request_id: str,
    label: str,
    author: str,
    received_at: datetime,
    labels: Labels | None = None,
) -> bool:
    """Keep one right label; return False when the identical row is there already. The caller commits.

    Parameters
    ----------
    labels : mapping of classifier to its labels, optional
        A label outside them is refused; classifiers that it lacks are not checked.

    Raises
    ------
    UnknownRequest, InvalidFeedback
    """
    row = Late(0, request_id, label, author, received_at)
    kept, repeated, problems = _sift(connection, [row], labels)
    if problems:
        raise problems[0][1]
    _insert(connection, kept)
    return not repeated


def import_feedback(
    connection: Connection,
    file: Path,
    *,
    received_at: datetime | None = None,
    labels: Labels | None = None,
) -> FeedbackCounts:
    """Keep the good rows of a CSV or JSON-lines file, refuse the others by row and reason. The caller commits.

    Columns request_id, label, author and, if known, received_at; rows without it get `received_at` (now), and count as
    repeated when the same label of the same author is there already. Raises `InvalidFeedback` when the file as a whole
    cannot be read.
    """
    moment, counts = received_at or datetime.now(UTC), FeedbackCounts()
    rows = read_feedback_file(file)
    while chunk := list(islice(rows, CHUNK)):
        late = [row for row in chunk if isinstance(row, Late)]
        kept, repeated, problems = _sift(connection, late, labels)
        _insert(
            connection,
            [row if row.received_at else replace(row, received_at=moment) for row in kept],
        )
        refusals = [row for row in chunk if isinstance(row, Refusal)] + [
            Refusal(row.row, str(error)) for row, error in problems
        ]
        counts = counts.plus(
            accepted=len(kept),
            repeated=repeated,
            refusals=sorted(refusals, key=lambda refusal: refusal.row),
        )
    return counts


def feedback_rows(
    connection: Connection, *, label_columns: Mapping[str, str], received_by: datetime
) -> pa.Table:
    """Return the feedback as snapshot rows: id (the request id), phrase, occurred_at, region, the label columns, origin.

    Only what was received by `received_by`; of several labels for one request the newest. Ordered by (occurred_at, id).
    """
    columns = sorted(set(label_columns.values()))
    found = list(connection.execute(_newest(label_columns, received_by)))
    schema = pa.schema([
        ("id", pa.string()), ("phrase", pa.string()), ("occurred_at", pa.timestamp("us", tz="UTC")), ("region", pa.string()),
        *((column, pa.string()) for column in columns), ("origin", pa.string()),
    ])  # fmt: skip
    return pa.Table.from_pylist(
        [_as_row(row, columns, label_columns) for row in found], schema=schema
    )


def _as_row(row: sa.Row, columns: list[str], label_columns: Mapping[str, str]) -> dict[str, object]:
    own = label_columns[row.classifier]
    labels = {column: row.label if column == own else None for column in columns}
    told = {
        "id": row.request_id,
        "phrase": row.phrase,
        "occurred_at": row.occurred_at,
        "region": row.region,
    }
    return {**told, **labels, "origin": "feedback"}


def newest_feedback(*, received_by: datetime | None = None) -> sa.Subquery:
    """Select the newest feedback of every request: request_id, classifier, label, author, received_at."""
    query = sa.select(feedback).distinct(feedback.c.request_id)
    if received_by is not None:
        query = query.where(feedback.c.received_at <= received_by)
    return query.order_by(
        feedback.c.request_id, feedback.c.received_at.desc(), feedback.c.id.desc()
    ).subquery()


CORRECTED = sa.select(feedback.c.request_id)
"""The requests that somebody sent the right label of: few beside the log."""


def answered(requests: sa.Select) -> sa.Subquery:
    """Select the row that answered each of these requests: shadows share its id and are left out."""
    mine = (inference.c.role.in_(ANSWERING), inference.c.request_id.in_(requests))
    query = sa.select(inference).distinct(inference.c.request_id).where(*mine)
    return query.order_by(inference.c.request_id, inference.c.occurred_at).subquery()


def _newest(label_columns: Mapping[str, str], received_by: datetime) -> sa.Select:
    told, answer = newest_feedback(received_by=received_by), answered(CORRECTED)
    query = sa.select(
        told.c.request_id,
        told.c.classifier,
        told.c.label,
        answer.c.phrase,
        answer.c.occurred_at,
        answer.c.region,
    )
    joined = query.join(answer, answer.c.request_id == told.c.request_id).where(
        told.c.classifier.in_(list(label_columns))
    )
    return joined.order_by(answer.c.occurred_at, told.c.request_id)


Problem = tuple[Late, PerennialError]


def _sift(
    connection: Connection, rows: list[Late], labels: Labels | None
) -> tuple[list[Late], int, list[Problem]]:
    """Part rows into those to keep (their classifier filled in), the number of repeated ones, and those with an error."""
    classifier_of = _classifiers(connection, {row.request_id for row in rows})
    known, seen_labels = _known(connection, list(classifier_of))
    kept, repeated, problems = [], 0, []
    for row in rows:
        error = _problem(row, classifier_of.get(row.request_id), labels)
        if error is not None:
            problems.append((row, error))
        elif row.identity in (known if row.received_at else seen_labels):
            repeated += 1
        else:
            kept.append(replace(row, classifier=classifier_of[row.request_id]))
            known.add(row.identity)
            seen_labels.add(row.identity[:3])
    return kept, repeated, problems


def _problem(row: Late, classifier: str | None, labels: Labels | None) -> PerennialError | None:
    if not row.label.strip() or not row.author.strip():
        return InvalidFeedback("a label and an author", came="an empty one", do="name both")
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


def _known(connection: Connection, request_ids: list[str]) -> tuple[set[tuple], set[tuple]]:
    query = sa.select(
        feedback.c.request_id, feedback.c.label, feedback.c.author, feedback.c.received_at
    )
    rows = [
        tuple(row)
        for row in connection.execute(query.where(feedback.c.request_id.in_(request_ids)))
    ]
    return set(rows), {row[:3] for row in rows}


def _insert(connection: Connection, rows: list[Late]) -> None:
    columns = ("received_at", "request_id", "classifier", "label", "author")
    values = [{column: getattr(row, column) for column in columns} for row in rows]
    if values:
        connection.execute(feedback.insert(), values)
