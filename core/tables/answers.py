"""The counted answers: a projection of `inference` by day, which outlives the log's retention."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Date, DateTime, Double, Table, Text, text

from core.tables.loop import metadata

ROUTED = ("champion", "canary")
"""The roles that answer clients who do not name a version."""


def _counts(name: str, *, by: str) -> Table:
    return Table(
        name,
        metadata,
        Column("classifier", Text, primary_key=True),
        Column("day", Date, primary_key=True),
        Column("version", Text, primary_key=True),
        Column("shadow", Boolean, primary_key=True),
        Column(by, Text, primary_key=True),
        Column("answers", BigInteger, nullable=False),
        Column("probability_sum", Double, nullable=False),
        Column("abstained", BigInteger, nullable=False, server_default=text("0")),
    )


answer_count = _counts("answer_count", by="region")
"""Answers to clients, and those of shadows, by UTC day; `region` is empty where it is unknown.

`abstained` of them were refused by the version.
"""

label_count = _counts("label_count", by="label")
"""The same answers by label. By label and region at once they would be as many as the log."""

answers_counted = Table(
    "answers_counted",
    metadata,
    Column("classifier", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("feedback", BigInteger, nullable=False, server_default=text("0")),
    Column("counted_at", DateTime(timezone=True), nullable=False),
)
"""Up to which arrival the answers of a classifier are counted, and up to which id its feedback."""
