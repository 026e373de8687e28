"""A data owner's SQL as text: values bound as literals, columns named, rows ordered. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import ArgumentError, CompileError

from core.errors import QueryRefused

NULL_TEXT = "\ue000null"
"""Stands for null in SQLite streams: ADBC takes a column that begins with nulls for a column of numbers."""


def bind(query: str, *, parameters: Mapping[str, Any], dialect: Dialect) -> str:
    """Write the values of `:names` into the query as literals of the dialect; `::casts` and `%` stay.

    Raises
    ------
    QueryRefused
        When the query names a parameter without a value, or a value is given that it does not name.
    """
    clause = sa.text(query.strip().rstrip(";"))
    wanted, given = set(clause._bindparams), set(parameters)
    if wanted != given:
        mend = "correct source.parameters, or the query (write \\: for a plain colon)"
        raise QueryRefused(f"the parameters {_listed(wanted)}", came=_listed(given), do=mend)
    try:
        return str(
            clause.bindparams(**parameters).compile(
                dialect=_literal(dialect), compile_kwargs={"literal_binds": True}
            )
        )
    except (ArgumentError, CompileError) as error:
        raise QueryRefused(
            "parameters that can be written into the query",
            came=str(error),
            do="correct source.parameters",
        ) from None


def probe(bound: str) -> str:
    """A query of the same columns and no rows."""
    return f"select * from (\n{bound}\n) q where 1 = 0"


def ordered(bound: str, *, columns: Sequence[str], dialect: Dialect) -> str:
    """Select the columns as text (times as they come), ordered by time and id, or by everything where there is no id.

    Names are quoted where the dialect must: databases that fold plain names, each its own way, know them so.
    """
    quoted = {name: dialect.identifier_preparer.quote(name) for name in columns}
    selected = ", ".join(
        f"{_selected(name, quoted[name], dialect.name)} as {quoted[name]}" for name in columns
    )
    order = (
        ["occurred_at", "id"]
        if "id" in columns
        else ["occurred_at", *(name for name in columns if name != "occurred_at")]
    )
    return f"select {selected} from (\n{bound}\n) q order by {', '.join(f'q.{quoted[name]}' for name in order)}"


def _selected(name: str, quoted: str, dialect: str) -> str:
    if dialect == "sqlite":
        return f"coalesce(cast(q.{quoted} as text), '{NULL_TEXT}')"
    if dialect == "postgresql" and name != "occurred_at":
        return f"cast(q.{quoted} as text)"
    return f"q.{quoted}"


def _literal(dialect: Dialect) -> Dialect:
    """The dialect with `%` and backslashes left alone: the text is run as it is, not formatted by a driver."""
    plain = type(dialect)(paramstyle="named")  # type: ignore[call-arg]
    if dialect.name == "postgresql":
        plain._backslash_escapes = False  # type: ignore[attr-defined]
    return plain


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"
