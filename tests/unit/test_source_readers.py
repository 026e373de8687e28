"""What a driver raises comes out under a name."""

from __future__ import annotations

from typing import cast

import pytest
from sqlalchemy.engine import Connection, make_url

from pipelines.source.readers import SqlAlchemyReader


class Raising:
    """A connection whose driver raises a plain RuntimeError, as DuckDB's does."""

    dialect = None

    def __init__(self, message: str) -> None:
        self._message = message

    def execution_options(self, **_: object) -> Raising:
        return self

    def exec_driver_sql(self, _: str) -> None:
        raise RuntimeError(self._message)


@pytest.mark.parametrize(
    ("message", "raised"),
    [("Query interrupted", KeyboardInterrupt), ("something else", RuntimeError)],
)
def test_an_interrupted_query_is_an_interrupt_and_nothing_else_is(
    message: str, raised: type[BaseException]
) -> None:
    with pytest.raises(raised):
        SqlAlchemyReader(
            cast(Connection, Raising(message)), make_url("duckdb:///rows.duckdb")
        ).columns("select 1")
