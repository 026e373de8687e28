"""The random draws of the review queue: which answers had a chance, and with what probability."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Double, Identity, Index, Integer, Table, Text

from core.tables.loop import metadata

review_draw = Table(
    "review_draw",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("classifier", Text, nullable=False),
    Column("drawn_at", DateTime(timezone=True), nullable=False),
    Column("after_sequence", BigInteger, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    Column("probability", Double, nullable=False),
    Column("drawn", Integer, nullable=False),
    Index("review_draw_by_classifier", "classifier", "id"),
)
"""A draw covers the answers with after_sequence < sequence <= last_sequence."""
