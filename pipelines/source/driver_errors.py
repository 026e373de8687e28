"""Names what drivers raise: the source is away for now, or the query cannot be run."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.engine import URL

from core.errors import PerennialError, QueryRefused, SourceUnreachable
from core.logs import first_line

_LOST = re.compile(
    r"\b(?:FATAL|PANIC):|closed the connection|connection (?:to server|not open|reset)"
    r"|could not (?:receive|send)|SSL (?:SYSCALL|error)",
    re.IGNORECASE,
)
"""Messages of a lost connection."""
_LOST_STATES = ("08", "57P", "53300")
_CANCELLED_STATES = ("40001", "40P01")
"""A standby's conflict with recovery, and a deadlock."""
_ADBC_IO = 10
"""`adbc_driver_manager.AdbcStatusCode.IO`."""


@contextmanager
def named_errors(url: URL) -> Iterator[None]:
    """Turn whatever a driver raises into `SourceUnreachable` or `QueryRefused`.

    Drivers raise more than the errors of DB-API: ADBC those of Arrow and plain OSErrors in the
    middle of a stream, DuckDB RuntimeErrors.
    """
    try:
        yield
    except PerennialError:
        raise
    except Exception as error:
        raise _named(error, url) from None


def _named(error: Exception, url: URL) -> BaseException:
    message = _message(error, url)
    if _is_interrupt(message):
        return KeyboardInterrupt()
    if _state(error).startswith(_CANCELLED_STATES):
        return SourceUnreachable(
            "the rows of the query",
            came=message,
            do="repeat it; on a standby, raise max_standby_streaming_delay, or read the primary",
        )
    if _is_lost(error, message):
        return SourceUnreachable(
            f"the source at {url.host or url.query.get('host') or url.database}",
            came=message,
            do="start it, or correct PERENNIAL_SOURCE_URL",
        )
    return QueryRefused("a query that the source runs", came=message, do="correct the query")


def _is_interrupt(message: str) -> bool:
    """Return True when the message is a driver's reaction to Ctrl-C.

    ADBC cancels the query and raises the server's message; DuckDB raises a RuntimeError.
    """
    is_cancelled = (
        "canceling statement due to user request" in message or message == "Query interrupted"
    )
    return is_cancelled and threading.current_thread() is threading.main_thread()


def _is_lost(error: Exception, message: str) -> bool:
    if isinstance(error, sa.exc.DBAPIError):
        return error.connection_invalidated or isinstance(error, sa.exc.OperationalError)
    state = _state(error)
    failed_to_connect = getattr(error, "status_code", None) == _ADBC_IO and not state
    return failed_to_connect or state.startswith(_LOST_STATES) or bool(_LOST.search(message))


def _state(error: Exception) -> str:
    """Return the SQLSTATE, which psycopg2 calls pgcode; empty when the driver gives none."""
    cause = getattr(error, "orig", None) or error
    return str(getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or "")


def _message(error: Exception, url: URL) -> str:
    """Return the first line of an error without the source's password."""
    text = first_line(error)
    return text.replace(url.password, "***") if url.password else text
