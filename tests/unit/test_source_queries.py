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


@pytest.mark.parametrize(
    "query",
    [
        "select 1 as a -- all of it\n;\n",
        "select 1 as a; -- the end",
        "select 1 as a; ;",
        "select 1 as a ; /* v2 */",
        "\ufeffselect 1 as a",
        "-- made by :me\n;select 1 as a;;\n",
        "select 1 as a /* '; */",
    ],
)
def test_semicolons_comments_and_a_byte_order_mark_do_no_harm(query: str) -> None:
    bound = bind(query, parameters={}, dialect=SQLITE)
    with sa.create_engine("sqlite://").connect() as connection:
        assert list(connection.exec_driver_sql(probe(bound)).keys()) == ["a"]


@pytest.mark.parametrize(
    ("query", "came"),
    [
        ("select 1; select 2", "got several"),
        ("; -- nothing", "got none"),
        ("select 'abc", "close every quote"),
        ("select 1 /* open", "close every quote"),
    ],
)
def test_what_is_not_one_statement_is_refused(query: str, came: str) -> None:
    with pytest.raises(QueryRefused, match=came):
        bind(query, parameters={}, dialect=POSTGRESQL)


NAMELESS = [
    (POSTGRESQL, "select 1 /* until :x /* nested :y */ */ + 1 -- from :z\n+ 1"),
    (POSTGRESQL, """select '{"a":true}'"""),
    (POSTGRESQL, "select a ~ '(?:re)'"),
    (POSTGRESQL, "select a[:2], b[1:n]"),
    (POSTGRESQL, "select $$ :x $$, $tag$ :y $tag$"),
    (POSTGRESQL, r"select E'it\'s :x', 'a\', b::text"),
    (POSTGRESQL, 'select "a :x"'),
    (mysql.dialect(), r"select 'it\'s :x', `a :y`"),
    (mssql.dialect(), "select [a :x], N' :y'"),
    (oracle.dialect(), "select q'[it's :x]' from dual"),
    (SQLITE, "select [a :x]"),
]


@pytest.mark.parametrize(("dialect", "query"), NAMELESS)
def test_only_real_parameters_count(dialect: Dialect, query: str) -> None:
    assert bind(query, parameters={}, dialect=dialect) == query
    with_one = bind(f"{query} where c = :real", parameters={"real": 7}, dialect=dialect)
    assert with_one == f"{query} where c = 7"


@pytest.mark.parametrize("query", ["select doc:key, doc['a']:b", "select {'a':b, 'c': d, e:f}"])
def test_paths_and_structs_have_no_parameters(query: str) -> None:
    assert bind(query, parameters={}, dialect=SQLITE) == query


def test_an_escaped_colon_is_a_plain_one() -> None:
    query = r"select '\:a', b[\:c], :d"
    assert bind(query, parameters={"d": r"\:e"}, dialect=SQLITE) == r"select ':a', b[:c], '\:e'"


def test_a_parameter_in_a_string_is_named() -> None:
    with pytest.raises(QueryRefused, match="write :days outside of strings"):
        bind("select interval ':days days'", parameters={"days": 30}, dialect=POSTGRESQL)


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
