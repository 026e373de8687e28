"""The console's own tables: who may sign in, and who changed what."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from core.tables.loop import metadata

console_change = Table(
    "console_change",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Column("person", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("before", JSONB, nullable=False),
    Column("after", JSONB, nullable=False),
    Index("console_change_by_moment", "changed_at"),
)

console_user = Table(
    "console_user",
    metadata,
    Column("name", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("password", Text),
    Column("session_key", Text, nullable=False),
    Column("added_at", DateTime(timezone=True), nullable=False),
)
"""`password` is an Argon2 hash, null for people who sign in at the OpenID provider. A session names
the `session_key` of its person: a new key ends all sessions.
"""
