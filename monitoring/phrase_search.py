"""Which distinct phrases of a classifier match words that somebody typed."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.tables.phrases import PARTS_INDEX, START, distinct_phrase
from pipelines.model.text import clean_phrase

MANY_PHRASES = 500
"""Of more matching phrases, the log itself is searched."""


def phrase_matches(
    connection: Connection, cleaned: sa.ColumnElement[str], text: str
) -> list[sa.ColumnElement[bool]]:
    """Return the conditions on a column of cleaned phrases.

    Every word of `text`, cleaned like a phrase, is a part of the phrase. In a database without
    pg_trgm, the phrase starts with `text`.
    """
    wanted = clean_phrase(text)
    if finds_parts(connection):
        return [cleaned.contains(word, autoescape=True) for word in wanted.split()]
    start = sa.func.left(cleaned, sa.text(str(START)))
    return [start.startswith(wanted[:START], autoescape=True)]


def matching_keys(connection: Connection, classifier: str, text: str) -> Sequence[int] | None:
    """Return the keys of the matching phrases, None for more than MANY_PHRASES."""
    table = distinct_phrase.c
    query = (
        sa.select(table.key)
        .where(table.classifier == classifier, *phrase_matches(connection, table.cleaned, text))
        .limit(MANY_PHRASES + 1)
    )
    keys = connection.scalars(query).all()
    return None if len(keys) > MANY_PHRASES else keys


def finds_parts(connection: Connection) -> bool:
    """Return whether the database finds parts of phrases; else it finds how they start."""
    return connection.scalar(sa.select(sa.func.to_regclass(PARTS_INDEX))) is not None
