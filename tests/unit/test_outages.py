"""What dependencies raise when something is away, by name."""

from __future__ import annotations

import errno

import httpx
import pytest
from sqlalchemy.exc import OperationalError, ProgrammingError

from core.errors import (
    DatabaseUnreachable,
    DiskFull,
    FlowServerUnreachable,
    PerennialError,
    QueryRefused,
)
from flows.outages import name_outage, named_outages

SERVER = httpx.Request("POST", "http://127.0.0.1:4200/api/flow_runs/")
BROKEN = httpx.Response(503, request=SERVER)


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (
            OperationalError(
                "select 1", {}, Exception("could not connect to postgresql://me:hush@h/d\nmore")
            ),
            DatabaseUnreachable,
        ),
        (OSError(errno.ENOSPC, "No space left on device"), DiskFull),
        (httpx.ConnectError("refused", request=SERVER), FlowServerUnreachable),
        (httpx.HTTPStatusError("broken", request=SERVER, response=BROKEN), FlowServerUnreachable),
        (RuntimeError("Failed to reach API at http://127.0.0.1:4200/api/"), FlowServerUnreachable),
    ],
    ids=lambda value: getattr(value, "code", type(value).__name__),
)
def test_an_outage_is_named_in_one_line_without_secrets(
    error: Exception, named: type[PerennialError]
) -> None:
    with pytest.raises(named) as caught, named_outages():
        raise error
    assert "\n" not in str(caught.value) and "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        ProgrammingError("select nothing", {}, Exception("no such column")),
        OSError(errno.ENOENT, "no such file"),
        httpx.ConnectError(
            "refused", request=httpx.Request("POST", "http://127.0.0.1:3000/v1/block/predict")
        ),
        httpx.ConnectError("refused"),
        ValueError("a bug"),
    ],
)
def test_what_is_no_outage_keeps_its_name(error: Exception) -> None:
    assert name_outage(error) is None
    with pytest.raises(type(error)), named_outages():
        raise error


def test_a_named_error_passes() -> None:
    with pytest.raises(QueryRefused), named_outages():
        raise QueryRefused("rows", came="none", do="look")
