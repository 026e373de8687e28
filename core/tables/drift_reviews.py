"""The table of what people say of drift windows: append-only, the newest row of a window holds."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, Integer, Table, Text

from core.tables.loop import metadata

drift_review = Table(
    "drift_review",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("reviewed_at", DateTime(timezone=True), nullable=False),
    Column("classifier", Text, nullable=False),
    Column("window_number", Integer, nullable=False),
    Column("first_sequence", BigInteger, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    Column("author", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("note", Text, nullable=False),
    Index("drift_review_window", "classifier", "window_number", "id"),
)
