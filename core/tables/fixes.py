"""Labels that contradicted an answer, and how many answers say the same since."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Index, Table, Text, text

from core.tables.loop import metadata

fix = Table(
    "fix",
    metadata,
    Column("feedback", BigInteger, primary_key=True, autoincrement=False),
    Column("classifier", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("phrase", Text, nullable=False),
    Column("cleaned", Text, nullable=False),
    Column("key", BigInteger, nullable=False),
    Column("version", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("answers", BigInteger, nullable=False, server_default=text("0")),
    Index("fix_by_classifier", "classifier", "feedback"),
    Index("fix_by_author", "classifier", "author", "feedback"),
    Index("fix_by_phrase", "classifier", "key"),
)
"""`before` is what `version` answered; `label` is right. `answers` counts later answers to the
phrase that say so. `key` stands for the cleaned phrase, which may be too long for an index."""
