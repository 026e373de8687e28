"""What the newest retraining of each classifier found about its labels."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from core.tables.loop import metadata

label_report = Table(
    "label_report",
    metadata,
    Column("classifier", Text, primary_key=True),
    Column("version", Text, nullable=False),
    Column("made_at", DateTime(timezone=True), nullable=False),
    Column("suspects", JSONB, nullable=False),
    Column("labels", JSONB, nullable=False),
)
"""`version` is the one that the retraining registered. `suspects` and `labels` are the files of
stage `suspects`; the next retraining replaces them."""
