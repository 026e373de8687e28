"""A data owner's SQL as text: pure functions that bind values, name columns and order rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import ArgumentError, CompileError

from core.errors import QueryRefused

NULL_TEXT = "\ue000null"
"""Replaces null in SQLite streams: ADBC reads a column that begins with nulls as numbers."""


def bind(query: str, *, parameters: Mapping[str, Any], dialect: Dialect) -> str:
    """Write the values of `:names` into the query as literals; `::casts` and `%` stay.

    Raises
    ------
    QueryRefused
        The query names a parameter without a value, or does not name a given value.
    """
    clause = sa.text(query.strip().rstrip(";"))
    named = set(clause._bindparams)
    if named != set(parameters):
        raise QueryRefused(
            f"the parameters {_listed(named)}",
            came=_listed(set(parameters)),
            do="correct source.parameters, or the query (write \\: for a plain colon)",
        )
    bound = clause.bindparams(**parameters)
    try:
        return str(bound.compile(dialect=_literal(dialect), compile_kwargs={"literal_binds": True}))
    except (ArgumentError, CompileError) as error:
        raise QueryRefused(
            "parameters that can be written into the query",
            came=str(error),
            do="correct source.parameters",
        ) from None


def probe(bound: str) -> str:
    """Return a query with the same columns and no rows."""
    return f"select * from (\n{bound}\n) q where 1 = 0"


def ordered(bound: str, *, columns: Sequence[str], dialect: Dialect) -> str:
    """Return a query of the columns as text, times unchanged, in order of time and id.

    Without an id, rows are ordered by all columns. Names are quoted only where the dialect requires
    it, because databases fold plain names in different ways.
    """
    quoted = {name: dialect.identifier_preparer.quote(name) for name in columns}
    selected = ", ".join(
        f"{_selected(name, quoted[name], dialect.name)} as {quoted[name]}" for name in columns
    )
    others = ["id"] if "id" in columns else [name for name in columns if name != "occurred_at"]
    order = ", ".join(f"q.{quoted[name]}" for name in ("occurred_at", *others))
    return f"select {selected} from (\n{bound}\n) q order by {order}"


def _selected(name: str, quoted: str, dialect: str) -> str:
    if dialect == "sqlite":
        return f"coalesce(cast(q.{quoted} as text), '{NULL_TEXT}')"
    if dialect in ("postgresql", "duckdb") and name != "occurred_at":
        return f"cast(q.{quoted} as text)"
    return f"q.{quoted}"


def _literal(dialect: Dialect) -> Dialect:
    """Return the dialect without escapes of `%` and backslashes: no driver formats the text."""
    plain = type(dialect)(paramstyle="named")  # type: ignore[call-arg]
    if dialect.name == "postgresql":
        plain._backslash_escapes = False  # type: ignore[attr-defined]
    return plain


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"
