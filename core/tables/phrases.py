"""The distinct phrases of the log, and the indexes by which answers are found.

A trigger on `inference` fills `distinct_phrase`, whichever bento wrote the rows.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ColumnElement, Index, Table, Text, func, text

from core.tables.loop import inference, metadata

PARTS_INDEX = "distinct_phrase_by_part"
"""Needs the extension pg_trgm. A database without it has an index of the first START characters."""
START = 200
"""An entry of that index has at most 2,704 bytes."""

distinct_phrase = Table(
    "distinct_phrase",
    metadata,
    Column("classifier", Text, primary_key=True),
    Column("key", BigInteger, primary_key=True, autoincrement=False),
    Column("cleaned", Text, nullable=False),
    Index(
        PARTS_INDEX, "cleaned", postgresql_using="gin", postgresql_ops={"cleaned": "gin_trgm_ops"}
    ),
)


def phrase_key(cleaned: ColumnElement[str]) -> ColumnElement[int]:
    """Return 64 bits that stand for a cleaned phrase, in an index and in `distinct_phrase.key`."""
    return func.hashtextextended(cleaned, text("0"))


Index("inference_by_phrase", inference.c.classifier, phrase_key(inference.c.cleaned))
Index("inference_by_label", inference.c.classifier, inference.c.label)
Index("inference_by_moment", inference.c.classifier, inference.c.occurred_at)
