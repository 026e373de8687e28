"""Labels that people fixed for single phrases: the table, and how answers name them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    FromClause,
    Identity,
    Index,
    Table,
    Text,
    and_,
    exists,
    false,
    func,
)

from core.tables.loop import inference, metadata

pin = Table(
    "pin",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("classifier", Text, nullable=False),
    Column("cleaned", Text, nullable=False),
    Column("label", Text),
    Column("since", DateTime(timezone=True), nullable=False),
    Column("until", DateTime(timezone=True)),
    Column("author", Text, nullable=False),
    Column("why", Text, nullable=False),
    Index("pin_by_phrase", "classifier", "cleaned", "id"),
)
"""Append-only: the newest row of a phrase counts. A row without a label ends the pin before it."""


def answered_label(answer: FromClause = inference) -> ColumnElement[Any]:
    """Return the label that the client got: that of the pin, else that of the version."""
    return func.coalesce(answer.c.pinned_label, answer.c.label)


def was_refused() -> ColumnElement[bool]:
    """Return the condition for logged answers that told the client "none of these".

    Pinned rows do not count, nor rows of releases whose versions could not refuse.
    """
    return and_(func.coalesce(inference.c.abstained, false()), inference.c.pin.is_(None))


def says_more_than_the_pin(answer: FromClause, label: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition for labels that count: they do not repeat the pin of their answer.

    Also true for an answer without a pin, and for a label without an answer.
    """
    return answer.c.pinned_label.is_distinct_from(label)


def repeats_a_pin(label: FromClause) -> ColumnElement[bool]:
    """Return the condition for rows of feedback that only repeat the pin of the answer.

    For readers that join labels with rows of a shadow, which have no pin of their own.
    """
    answer = inference.alias()
    return exists().where(
        answer.c.pin.is_not(None),
        answer.c.request_id == label.c.request_id,
        answer.c.pinned_label == func.btrim(label.c.label),
    )
