"""The review queue: what people should look at, who looks at it now, and what they said."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from core.tables.loop import metadata

review_item = Table(
    "review_item",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("classifier", Text, nullable=False),
    Column("phrase", Text, nullable=False),
    Column("cleaned", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("confidence", Double, nullable=False),
    Column("alternatives", JSONB, nullable=False),
    Column("region", Text),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
    Column("strategy", Text, nullable=False),
    Column("probability", Double),
    Column("frequency", Integer, nullable=False),
    Column("score", Double, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("needs", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("decided_label", Text),
    Column("decided_at", DateTime(timezone=True)),
    Column("feedback", BigInteger),
    Column("proposed_label", Text),
    Column("source_rows", JSONB(none_as_null=True)),
    Index(
        "review_item_open",
        "classifier",
        text("score DESC"),
        "id",
        postgresql_where=text("state = 'open'"),
    ),
    Index(
        "review_item_open_phrase",
        "classifier",
        "cleaned",
        unique=True,
        postgresql_where=text("state = 'open' AND probability IS NULL"),
    ),
    Index(
        "review_item_drawn",
        "classifier",
        "request_id",
        unique=True,
        postgresql_where=text("probability IS NOT NULL"),
    ),
    Index("review_item_request", "classifier", "request_id"),
    Index("review_item_decided", "classifier", "decided_at"),
)
"""`state` is open, decided or withdrawn. `confidence` is the probability of the answer `label`,
`alternatives` are the labels after it; `probability` is how likely a random item was to be drawn,
null for all others. `needs` is how many people must answer. A decided item has the label that
counts, null for "none of these", and the id of its row in `feedback`.

A suspect is not an answer: `label` is that of its `source_rows`, and `proposed_label` is likelier.
Both are null for all others.
"""
IS_OPEN = literal_column("review_item.state = 'open'", Boolean)
"""As text: a prepared statement with a parameter would not use the partial indexes."""

review_lease = Table(
    "review_lease",
    metadata,
    Column("item", BigInteger, ForeignKey("review_item.id", ondelete="CASCADE"), primary_key=True),
    Column("person", Text, primary_key=True),
    Column("until", DateTime(timezone=True), nullable=False),
    Index("review_lease_by_person", "person"),
)

review_answer = Table(
    "review_answer",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("item", BigInteger, ForeignKey("review_item.id", ondelete="CASCADE"), nullable=False),
    Column("person", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("label", Text),
    Column("reason", Text),
    Column("act", Text, nullable=False),
    Column("answered_at", DateTime(timezone=True), nullable=False),
    Column("undone_at", DateTime(timezone=True)),
    Index(
        "review_answer_of_item",
        "item",
        "person",
        unique=True,
        postgresql_where=text("undone_at IS NULL"),
    ),
    Index("review_answer_of_act", "person", "act"),
    Index("review_answer_by_moment", "answered_at"),
)
"""`kind` is label, none_of_these or skip; `act` is what one press of a key did, for undoing."""
