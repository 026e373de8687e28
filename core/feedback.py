"""Feedback: the right labels, arriving later from people and systems. Its record and its rules.

A label is about an answer, by its request id, or it comes with a phrase of its own: an example.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.contracts import ANSWERING
from core.errors import InvalidFeedback, PerennialError, UnknownRequest
from core.tables.loop import feedback, inference

KINDS = ("correction", "confirmation", "sample", "double_review", "unknown")
"""Why somebody looked: the answer seemed wrong, or right, was drawn at random, or is seen again."""
EXAMPLE = "example"
"""The kind of a label that is about no answer: it came with its own phrase."""
NONE_OF_THESE = "none_of_these"
"""The kind of feedback that says no label is right. Its label is empty; nothing learns from it.

About a row of the source, it also takes the row's own label away until another decision."""

LEAST_PROBABILITY = 1e-9
"""One answer in years of traffic. A smaller number is a mistake that outweighs all other labels."""

Labels = Mapping[str, Collection[str]]


@dataclass(frozen=True)
class FeedbackRow:
    """A right label that arrived later.

    `row` is its line in a file; `received_at` is timezone-aware, or None when unknown. `kind` is
    one of KINDS, EXAMPLE or NONE_OF_THESE. `probability`, in (0, 1], is how likely a sampled
    answer was to be sampled. `new_label`: the label may be one that no champion knows.

    An example has a request id of its own, its classifier, `phrase`, `cleaned`, `occurred_at` and
    perhaps `region`. With `source_row` it replaces the row of the source that has this id.
    """

    row: int
    request_id: str
    label: str
    author: str
    received_at: datetime | None = None
    classifier: str = ""
    kind: str = "unknown"
    probability: float | None = None
    phrase: str | None = None
    cleaned: str | None = None
    occurred_at: datetime | None = None
    region: str | None = None
    new_label: bool = False
    source_row: str | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        """Rows of equal identity are the same feedback; `received_at` counts when it is known."""
        content = (self.request_id, self.label, self.author)
        return (*content, self.received_at) if self.received_at else content


def is_label() -> sa.ColumnElement[bool]:
    """Return the condition for rows of `feedback` that name a label."""
    return feedback.c.kind != NONE_OF_THESE


def is_decision() -> sa.ColumnElement[bool]:
    """Return the condition for rows of `feedback` that change what is learnt: a label, or that a
    row of the source has none.
    """
    return sa.or_(is_label(), feedback.c.source_row.is_not(None))


Problem = tuple[FeedbackRow, PerennialError]


@dataclass
class Separated:
    """Rows that can be stored, with their classifier; the number of known rows; and problems."""

    accepted: list[FeedbackRow] = field(default_factory=list)
    repeated: int = 0
    problems: list[Problem] = field(default_factory=list)


def sample_probability(value: object, kind: str) -> float | None:
    """Read the probability of a sample; other kinds have none. Raises `ValueError`."""
    if value is None or value == "":
        if kind == "sample":
            raise ValueError("expected the probability that the answer was sampled, in (0, 1]")
        return None
    if kind != "sample":
        raise ValueError(f"expected none for the kind {kind}: only samples have one")
    if not isinstance(value, str | int | float):
        raise ValueError("expected a number in (0, 1]")
    probability = float(value)
    if not LEAST_PROBABILITY <= probability <= 1:
        raise ValueError(
            f"expected a number in (0, 1], at least {LEAST_PROBABILITY:g}, got {value}"
        )
    return probability


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
    kind : one of KINDS
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
    separated = separate_feedback(connection, [row], labels=labels)
    if separated.problems:
        raise separated.problems[0][1]
    insert_feedback(connection, separated.accepted)
    return not separated.repeated


def separate_feedback(
    connection: Connection, rows: Sequence[FeedbackRow], *, labels: Labels | None
) -> Separated:
    """Separate what can be stored from known rows and from problems.

    The problem of a row whose answer is not in the log is an `UnknownRequest`.
    """
    examples = {row.request_id: row.classifier for row in rows if row.phrase is not None}
    about_answers = {row.request_id for row in rows} - examples.keys()
    classifier_of = {**_classifiers(connection, about_answers), **examples}
    known, known_labels = _known(connection, list(classifier_of))

    separated = Separated()
    for row in rows:
        error = feedback_problem(row, classifier_of.get(row.request_id), labels)
        if error is not None:
            separated.problems.append((row, error))
        elif row.identity in (known if row.received_at else known_labels):
            separated.repeated += 1
        else:
            separated.accepted.append(replace(row, classifier=classifier_of[row.request_id]))
            known.add(row.identity)
            known_labels.add(row.identity[:3])
    return separated


def feedback_problem(
    row: FeedbackRow, classifier: str | None, labels: Labels | None
) -> PerennialError | None:
    """Return why a row cannot be stored. `classifier` is None for an answer that is not logged."""
    if not row.author.strip() or bool(row.label.strip()) == (row.kind == NONE_OF_THESE):
        return _unnamed(row)
    if classifier is None:
        return UnknownRequest(
            "the request id of a logged answer",
            came=row.request_id[:80],
            do="send the request_id of the answer",
        )
    if labels is None or row.new_label or classifier not in labels or not row.label:
        return None
    if row.label not in labels[classifier]:
        return InvalidFeedback(
            f"a label of {classifier}",
            came=row.label[:80],
            do="choose one of the classifier's labels",
        )
    return None


def _unnamed(row: FeedbackRow) -> InvalidFeedback:
    if row.kind == NONE_OF_THESE and row.author.strip():
        return InvalidFeedback(f"no label with {NONE_OF_THESE}", came=row.label[:80], do="omit one")
    return InvalidFeedback("a label and an author", came="an empty one", do="give both")


def insert_feedback(connection: Connection, rows: Sequence[FeedbackRow]) -> None:
    """Store rows that were accepted, in their order."""
    columns = [column.name for column in feedback.columns if column.name != "id"]
    values = [{column: getattr(row, column) for column in columns} for row in rows]
    if values:
        connection.execute(feedback.insert(), values)


def _classifiers(connection: Connection, request_ids: set[str]) -> dict[str, str]:
    query = sa.select(inference.c.request_id, inference.c.classifier).where(
        inference.c.request_id.in_(list(request_ids)), inference.c.role.in_(ANSWERING)
    )
    return {row.request_id: row.classifier for row in connection.execute(query)}


Identity = tuple[object, ...]


def _known(connection: Connection, request_ids: list[str]) -> tuple[set[Identity], set[Identity]]:
    """Return the identities of the stored rows, with and without `received_at`."""
    columns = (feedback.c.request_id, feedback.c.label, feedback.c.author, feedback.c.received_at)
    query = sa.select(*columns).where(feedback.c.request_id.in_(request_ids))
    rows = [tuple(row) for row in connection.execute(query)]
    return set(rows), {row[:3] for row in rows}
