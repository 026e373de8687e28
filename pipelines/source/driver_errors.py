"""Translates driver errors: the source is unavailable for now, or the query cannot be run."""

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
_MYSQL = ("mysql", "mariadb")
_MYSQL_CANCELLED = (1205, 1213)
"""A lock that was not released in time, and a deadlock."""
_MYSQL_REFUSED = (1040, 1044, 1045, 1049, 1053, 1129, 1130, 1203, 1226, 1927)
"""No connection: too many of them, access denied, no such database, shutdown, blocked, killed."""
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
    if _is_cancelled(error, url):
        return SourceUnreachable("the rows of the query", came=message, do=_repeat(url))
    if _is_lost(error, url, message):
        return SourceUnreachable(
            f"the source at {url.host or url.query.get('host') or url.database}",
            came=message,
            do="start it, or correct PERENNIAL_SOURCE_URL",
        )
    return QueryRefused("a query that the source runs", came=message, do="correct the query")


def _repeat(url: URL) -> str:
    if url.get_backend_name() == "postgresql":
        return "repeat it; on a standby, raise max_standby_streaming_delay, or read the primary"
    return "repeat it"


def _is_interrupt(message: str) -> bool:
    """Return True when the message is a driver's reaction to Ctrl-C.

    ADBC cancels the query and raises the server's message; DuckDB raises a RuntimeError.
    """
    is_cancelled = (
        "canceling statement due to user request" in message or message == "Query interrupted"
    )
    return is_cancelled and threading.current_thread() is threading.main_thread()


def _is_cancelled(error: Exception, url: URL) -> bool:
    """Return True when the server gave the query up for others: a repetition may succeed."""
    states = _state(error).startswith(_CANCELLED_STATES)
    return states or _mysql_number(error, url) in _MYSQL_CANCELLED


def _is_lost(error: Exception, url: URL, message: str) -> bool:
    if isinstance(error, sa.exc.DBAPIError):
        is_operational = isinstance(error, sa.exc.OperationalError)
        return error.connection_invalidated or (is_operational and not _is_answer(error, url))
    state = _state(error)
    failed_to_connect = getattr(error, "status_code", None) == _ADBC_IO and not state
    return failed_to_connect or state.startswith(_LOST_STATES) or bool(_LOST.search(message))


def _is_answer(error: Exception, url: URL) -> bool:
    """Return True when a MySQL server refused the query: it is reachable.

    Its drivers raise an OperationalError for most numbers, such as 1054, an unknown column.
    Numbers from 2000 to 2999 are the client's: the server did not answer.
    """
    number = _mysql_number(error, url)
    of_client = 2000 <= number < 3000
    return number > 0 and not of_client and number not in _MYSQL_REFUSED


def _mysql_number(error: Exception, url: URL) -> int:
    """Return the number of a MySQL error, which its drivers give first; 0 for other errors."""
    cause = getattr(error, "orig", None) or error
    number = cause.args[0] if cause.args else 0
    is_number = isinstance(number, int) and url.get_backend_name() in _MYSQL
    return number if is_number else 0


def _state(error: Exception) -> str:
    """Return the SQLSTATE, which psycopg2 calls pgcode; empty when the driver gives none."""
    cause = getattr(error, "orig", None) or error
    return str(getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or "")


def _message(error: Exception, url: URL) -> str:
    """Return the first line of an error without the source's password."""
    text = first_line(error)
    return text.replace(url.password, "***") if url.password else text
