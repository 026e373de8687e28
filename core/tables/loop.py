"""The tables of the loop: log, feedback, snapshots, roles, decisions, drift reports and memories.

Migrations create them, and a contract test compares both."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Double,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    not_,
    or_,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from core.contracts import LOADTEST_KEY

metadata = MetaData()


def _moment(name: str, *, primary_key: bool = False) -> Column[datetime]:
    return Column(name, DateTime(timezone=True), nullable=False, primary_key=primary_key)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _json(name: str) -> Column[Any]:
    return Column(name, JSONB, nullable=False)


inference = Table(
    "inference",
    metadata,
    _moment("occurred_at", primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    _text("classifier"),
    _text("role"),
    _text("phrase"),
    _text("cleaned"),
    _text("label"),
    Column("probability", Double, nullable=False),
    _json("alternatives"),
    _text("embedder_id"),
    Column("cached", Boolean, nullable=False),
    Column("latency_ms", Double, nullable=False),
    Column("region", Text),
    Column("routing_key", Text),
    _json("flags"),
    Column(
        "sequence",
        BigInteger,
        nullable=False,
        server_default=text("nextval('inference_sequence'::regclass)"),
    ),
    Column("revision", Integer),
    Column("head_label", Text),
    Column("pin", BigInteger),
    Column("pinned_label", Text),
    Column("abstained", Boolean),
    Index("inference_by_sequence", "classifier", "sequence"),
    Index("inference_by_version", "classifier", "version", "occurred_at"),
    Index("inference_by_request", "request_id"),
    Index("inference_by_pin", "pin", "occurred_at", postgresql_where=text("pin is not null")),
    postgresql_partition_by="RANGE (occurred_at)",
)


def asked_by_clients() -> ColumnElement[bool]:
    """Return the condition for rows of `inference` that do not come from a load test."""
    return or_(
        inference.c.routing_key.is_(None), not_(inference.c.routing_key.startswith(LOADTEST_KEY))
    )


feedback = Table(
    "feedback",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _moment("received_at"),
    _text("request_id"),
    _text("classifier"),
    _text("label"),
    _text("author"),
    Column("kind", Text, nullable=False, server_default=text("'unknown'")),
    Column("probability", Double),
    Column("phrase", Text),
    Column("cleaned", Text),
    Column("occurred_at", DateTime(timezone=True)),
    Column("region", Text),
    Column("source_row", Text),
    Index(
        "feedback_by_source_row",
        "classifier",
        "source_row",
        postgresql_where=text("source_row is not null"),
    ),
    Index("feedback_by_classifier", "classifier", "received_at"),
    Index("feedback_by_request", "request_id"),
)

snapshot = Table(
    "snapshot",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _moment("as_of"),
    _text("dataset"),
    Column("rows", Integer, nullable=False),
    _text("logical_hash"),
    _text("query_hash"),
    _text("git_tag"),
    _json("summary"),
    Index("snapshot_by_dataset", "dataset", "as_of"),
)

memory_revision = Table(
    "memory_revision",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _text("classifier"),
    Column("revision", Integer, nullable=False),
    _moment("made_at"),
    _moment("as_of"),
    _text("digest"),
    _text("location"),
    _text("snapshot"),
    Column("first_feedback", BigInteger),
    Column("last_feedback", BigInteger),
    Column("phrases", Integer, nullable=False),
    Column("labels", Integer, nullable=False),
    Column("enabled", Boolean, nullable=False),
    _text("why"),
    UniqueConstraint("classifier", "revision", name="memory_revision_number"),
)

deployment = Table(
    "deployment",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _text("classifier"),
    _text("version"),
    _text("head_location"),
    _text("head_digest"),
    _text("embedder_id"),
    _text("role"),
    Column("share", Double, nullable=False),
    _moment("since"),
    _text("why"),
    Index("deployment_by_classifier", "classifier", "id"),
    Index("deployment_by_role", "classifier", "role", "id"),
)

decision = Table(
    "decision",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _moment("decided_at"),
    _text("classifier"),
    _text("subject"),
    _text("kind"),
    _json("reasons"),
    _json("evidence"),
    Column("run", Text, nullable=False, server_default=text("''")),
    Index("decision_by_classifier", "classifier", "decided_at"),
)

drift_report = Table(
    "drift_report",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _moment("reported_at"),
    _text("classifier"),
    _text("version"),
    Column("window_number", Integer, nullable=False),
    _moment("window_start"),
    _moment("window_end"),
    Column("last_request", Text),
    Column("rows", Integer, nullable=False),
    _json("statistics"),
    _json("alarms"),
    _text("verdict"),
    _text("report"),
    Column("first_sequence", BigInteger),
    Column("last_sequence", BigInteger),
    Column("answers", BigInteger),
    Column("accepted_window", Integer),
    Column("evidence", JSONB),
    Index("drift_report_window", "classifier", "version", "window_number", unique=True),
    Index(
        "drift_report_arrival",
        "classifier",
        "window_number",
        unique=True,
        postgresql_where=text("first_sequence is not null"),
    ),
)
