"""Values bound into a data owner's SQL, and what may not happen to the SQL on the way."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import mssql, mysql, oracle, postgresql, sqlite
from sqlalchemy.engine import Dialect

from core.errors import QueryRefused
from pipelines.source.queries import bind, ordered, probe

POSTGRESQL = postgresql.dialect()
SQLITE = sqlite.dialect()


def test_casts_percents_and_times_in_quotes_survive() -> None:
    query = "select id::text, '50%' from note where phrase like 'a%' and at > '10:20:30'"
    assert bind(query, parameters={}, dialect=POSTGRESQL) == query


def test_values_become_literals() -> None:
    bound = bind(
        "select :name, :size, :share, :on",
        parameters={"name": "o'neil", "size": 3, "share": 0.5, "on": True},
        dialect=POSTGRESQL,
    )
    assert bound == "select 'o''neil', 3, 0.5, true"


@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20))
def test_a_text_value_comes_out_as_it_went_in(value: str) -> None:
    bound = bind("select :value", parameters={"value": value}, dialect=SQLITE)
    with sa.create_engine("sqlite://").connect() as connection:
        assert connection.exec_driver_sql(bound).scalar_one() == value


@pytest.mark.parametrize(
    ("query", "parameters"),
    [("select :a", {}), ("select 1", {"a": 1}), ("select :a, :b", {"a": 1})],
)
def test_missing_and_unknown_parameters_are_refused(query: str, parameters: dict) -> None:
    with pytest.raises(QueryRefused, match="parameters"):
        bind(query, parameters=parameters, dialect=POSTGRESQL)


def test_a_last_semicolon_and_a_last_comment_do_no_harm() -> None:
    bound = bind("select 1 as a -- all of it\n;\n", parameters={}, dialect=SQLITE)
    with sa.create_engine("sqlite://").connect() as connection:
        assert list(connection.exec_driver_sql(probe(bound)).keys()) == ["a"]


def test_rows_are_ordered_by_time_and_id_or_else_by_everything() -> None:
    with_id = ordered("select 1", columns=["id", "phrase", "occurred_at"], dialect=POSTGRESQL)
    assert with_id.endswith("order by q.occurred_at, q.id")
    without = ordered(
        "select 1", columns=["phrase", "occurred_at", "region", "block"], dialect=POSTGRESQL
    )
    assert without.endswith("order by q.occurred_at, q.phrase, q.region, q.block")


@pytest.mark.parametrize(
    "dialect", [POSTGRESQL, SQLITE, mysql.dialect(), mssql.dialect(), oracle.dialect()]
)
def test_names_are_quoted_where_a_database_must_have_it_so(dialect: Dialect) -> None:
    written = ordered(
        "select 1", columns=["phrase", "occurred_at", "Bereich", "order"], dialect=dialect
    )
    quote = dialect.identifier_preparer.quote_identifier
    assert (
        f"q.occurred_at, q.phrase, q.{quote('Bereich')}, q.{quote('order')}" in written
        and " as q" not in written
    )
