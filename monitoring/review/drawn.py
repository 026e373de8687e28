"""Labels of random samples, as reviewers send them: their probability is that of the stored draw.

A probability of somebody's choice would weigh one label as much as he likes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.feedback import FeedbackRow
from core.tables.loop import feedback
from core.tables.review import review_item
from monitoring.labels.feedback_file import Line
from monitoring.tasks.records import Refusal

SAMPLE = "sample"
TOLERANCE = 1e-9
"""Relative: a file may hold fewer digits."""


def drawn_probabilities(connection: Connection, request_ids: Collection[str]) -> dict[str, float]:
    """Return the probability of each answer that was drawn at random, by its request id."""
    return {
        row.request_id: row.probability
        for table in (feedback, review_item)
        for row in connection.execute(_drawn(table, request_ids))
    }


def _drawn(table: sa.Table, request_ids: Collection[str]) -> sa.Select[tuple[str, float]]:
    return sa.select(table.c.request_id, table.c.probability).where(
        table.c.request_id.in_(list(request_ids)), table.c.probability.is_not(None)
    )


def as_drawn(connection: Connection, lines: Iterable[Line]) -> list[Line]:
    """Return the lines; a sample gets its stored probability, or is refused."""
    read = list(lines)
    rows = [line for line in read if isinstance(line, FeedbackRow)]
    samples = {row.request_id for row in rows if row.kind == SAMPLE}
    known = drawn_probabilities(connection, samples) if samples else {}
    return [row_as_drawn(line, known) if isinstance(line, FeedbackRow) else line for line in read]


def row_as_drawn(row: FeedbackRow, known: Mapping[str, float]) -> FeedbackRow | Refusal:
    """Return the row, as a sample with its probability of `known`, or why it is refused."""
    if row.kind != SAMPLE:
        return row
    reason = _problem(row.probability, known.get(row.request_id))
    return Refusal(row.row, reason) if reason else replace(row, probability=known[row.request_id])


def _problem(given: float | None, drawn: float | None) -> str | None:
    """Return why a label cannot count as that of a sample; None when it can."""
    if drawn is None:
        return "expected a sample that the review queue drew, got another answer"
    if given is not None and abs(given - drawn) > TOLERANCE * drawn:
        return f"expected the probability of the draw, {drawn:g}, got {given:g}"
    return None
