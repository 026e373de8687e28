"""A data owner's SQL as text: pure functions that bind values, name columns and order rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import sqlalchemy as sa
import sqlglot
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import ArgumentError, CompileError
from sqlglot import Token, TokenType
from sqlglot.errors import TokenError

from core.errors import QueryRefused
from core.logs import first_line

NULL_TEXT = "\ue000null"
"""Replaces null in SQLite streams: ADBC reads a column that begins with nulls as numbers."""

FILES = "files"
"""The driver of the dialect in which files are read."""
BYTE_ORDER_MARK = "\ufeff"
_ESCAPED_COLON = re.compile(r"\\:")
"""`\\:` is a plain colon."""
_TOKENIZERS = {
    "cockroachdb": "postgres",
    "mariadb": "mysql",
    "mssql": "tsql",
    "postgresql": "postgres",
    "teradatasql": "teradata",
}
"""SQLAlchemy's name of a dialect -> sqlglot's, where they differ."""
_COLON = TokenType.COLON
_SEMICOLON = TokenType.SEMICOLON


def bind(query: str, *, parameters: Mapping[str, Any], dialect: Dialect) -> str:
    """Write the values of `:names` into the query as literals.

    A name in a string, a comment, a cast or a path is not a parameter. Semicolons around the query
    are removed, with the comments after them.

    Raises
    ------
    QueryRefused
        The query names a parameter without a value, does not name a given value, is not one
        statement, or has an open quote or comment.
    """
    text, tokens = _statement(query, dialect.name)
    places = list(_parameters(text, tokens))
    _require_equal({name for name, _, _ in places}, set(parameters), query)

    pieces = []
    end = 0
    for name, first, last in places:
        pieces += [_unescaped(text[end:first]), _written(parameters[name], dialect)]
        end = last
    return "".join([*pieces, _unescaped(text[end:])]).strip()


def _statement(query: str, dialect: str) -> tuple[str, list[Token]]:
    """Return the query as one statement, and its tokens.

    A byte order mark and outer semicolons are left out.
    """
    text = query.removeprefix(BYTE_ORDER_MARK)
    plain = _ESCAPED_COLON.sub(lambda escaped: " " * len(escaped[0]), text)
    reader = sqlglot.Dialect.get(_TOKENIZERS.get(dialect, dialect)) or sqlglot.Dialect
    try:
        tokens = reader().tokenize(plain)
    except TokenError as error:
        raise QueryRefused(
            f"a query in the SQL of {dialect}",
            came=first_line(error),
            do="close every quote and every comment",
        ) from None

    outer = [place for place, token in enumerate(tokens) if token.token_type != _SEMICOLON]
    inner = tokens[outer[0] : outer[-1] + 1] if outer else []
    if not inner or any(token.token_type == _SEMICOLON for token in inner):
        raise QueryRefused(
            "one statement",
            came="several, separated by semicolons" if inner else "none",
            do="leave one select in the query",
        )
    first = tokens[outer[0] - 1].end + 1 if outer[0] else 0
    after = tokens[outer[-1] + 1 :]
    last = after[0].start if after else len(text)
    return " " * first + text[first:last], inner


def _parameters(text: str, tokens: Sequence[Token]) -> Iterator[tuple[str, int, int]]:
    """Yield each parameter's name, start and end.

    After a name, a bracket or a quote the colon belongs to a path (`doc:key`), a slice (`a[1:n]`)
    or a struct (`{'key':value}`).
    """
    for colon, name in pairwise(tokens):
        before = text[colon.start - 1 : colon.start]
        is_inner = before.isalnum() or before in tuple("_])\"'`:")
        is_adjacent = colon.end + 1 == name.start
        written = text[name.start : name.end + 1]
        if colon.token_type != _COLON or is_inner or not is_adjacent or not written.isidentifier():
            continue
        yield written, colon.start, name.end + 1


def _require_equal(named: set[str], given: set[str], query: str) -> None:
    if named == given:
        return
    do = "correct source.parameters, or the query (write \\: for a plain colon)"
    quoted = {name for name in given - named if f":{name}" in query}
    if quoted:
        do = f"write {_listed({f':{name}' for name in quoted})} outside of strings and comments"
    raise QueryRefused(f"the parameters {_listed(named)}", came=_listed(given), do=do)


def _written(value: Any, dialect: Dialect) -> str:
    """Return a value as a literal of the dialect."""
    literal = sa.literal(value)
    try:
        return str(
            literal.compile(dialect=_literal(dialect), compile_kwargs={"literal_binds": True})
        )
    except (ArgumentError, CompileError) as error:
        raise QueryRefused(
            "parameters that can be written into the query",
            came=str(error),
            do="correct source.parameters",
        ) from None


def _unescaped(text: str) -> str:
    return _ESCAPED_COLON.sub(lambda escaped: escaped[0][1:], text)


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
        f"{_selected(name, quoted[name], dialect)} as {quoted[name]}" for name in columns
    )
    others = ["id"] if "id" in columns else [name for name in columns if name != "occurred_at"]
    order = ", ".join(f"q.{quoted[name]}" for name in ("occurred_at", *others))
    return f"select {selected} from (\n{bound}\n) q order by {order}"


def _selected(name: str, quoted: str, dialect: Dialect) -> str:
    if dialect.name == "sqlite" and name == "id":
        # the bytes of a UUID or of a number are not UTF-8
        hexadecimal = f"when typeof(q.{quoted}) = 'blob' then lower(hex(q.{quoted}))"
        return f"case {hexadecimal} else coalesce(cast(q.{quoted} as text), '{NULL_TEXT}') end"
    if dialect.name == "sqlite":
        return f"coalesce(cast(q.{quoted} as text), '{NULL_TEXT}')"
    has_text_of_all = dialect.name == "postgresql" or dialect.driver == FILES
    if has_text_of_all and name != "occurred_at":
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
