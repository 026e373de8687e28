"""Logging with structlog: JSON in files and pipes, text on a terminal, no secret in any line."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog

Listener = Callable[[Mapping[str, Any]], None]
_LISTENERS: list[Listener] = []

_AFTER_USER = re.compile(r"(://[^\s:/@]*):(\S+)")
_NAMED_SECRET = re.compile(
    r"""(?P<name>(?:pass(?:word|wd|phrase)|(?<=_)pass|pwd|secret|token|credentials?|authorization
            |(?:api|access|account|secret|private|shared|signing|encryption)[ _-]?key)
        (?:\\*["']|%2[27])?                                # the name may stand in quotes
        [ \t]*(?:[=:]+>?|%3[AD])[ \t]*                      # %3D: a URL within a URL
        (?:(?:bearer|basic|token)[ ]+)?(?:b(?=["']))?)
    (?:(?P<quote>\\*["'])
        (?:(?P=quote){2}|(?!(?P=quote))(?:\\{4}|\\{3}["']|\\.|.))*+
        (?:(?P=quote)[^\s&,;:"'(){}\[\]\\]*)?
        |(?=\S)(?:\{(?:\}\}|[^}\n])*+\}?)?(?:\\.|[^\s&]|&(?![\w.%-]+=))*)""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


def redact(text: str) -> str:
    """Replace the password of every URL, and the value after the name of a secret, by `***`.

    Covers `password=x`, `"api_key": "x"`, `PWD={x}` and `PWD%3Dx`. It replaces too much rather than
    too little: the word after `token:` is replaced too. Its time is linear in the text's length.
    """
    return _NAMED_SECRET.sub(_blank_value, _AFTER_USER.sub(_blank_password, text))


def _blank_password(match: re.Match[str]) -> str:
    """Blank up to the last @: a password may contain one."""
    password, _, host = match[2].rpartition("@")
    return f"{match[1]}:***@{host}" if password else match[0]


def _blank_value(match: re.Match[str]) -> str:
    quote = match["quote"] or ""
    return f"{match['name']}{quote}***{quote}"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, without passwords; its class without a message.

    Of an SQLAlchemy error, this is the message of the driver.
    """
    cause = getattr(error, "orig", None) or error
    lines = redact(str(cause)).strip().splitlines()
    return lines[0].rstrip() if lines else type(cause).__name__


def _redact_event(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: _redacted(value) for key, value in event.items()}


def _redacted(value: Any) -> Any:
    if isinstance(value, str | BaseException):
        return redact(str(value))
    if isinstance(value, Mapping):
        return {key: _redacted(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(inner) for inner in value]
    return value


def configure_logs(log_format: str = "auto") -> None:
    """Send structlog to standard error.

    Parameters
    ----------
    log_format : str
        "json", "console", or "auto": console on a terminal, else json.
    """
    readable = sys.stderr.isatty() if log_format == "auto" else log_format == "console"
    renderer = structlog.dev.ConsoleRenderer() if readable else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact_event,
            _tell_listeners,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=_current_stderr,
        cache_logger_on_first_use=False,
    )


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Pass each event of this process to the listener, before it becomes a line."""
    _LISTENERS.append(listener)
    try:
        yield
    finally:
        _LISTENERS.remove(listener)


def _tell_listeners(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for listener in _LISTENERS:
        listener(event)
    return event


def _current_stderr(*_: object) -> structlog.PrintLogger:
    """Print to the present standard error: tests and daemons replace it."""
    return structlog.PrintLogger(sys.stderr)


def get_logger() -> Any:
    """Return the logger. Bind ids once, with `structlog.contextvars.bound_contextvars(run=...)`."""
    return structlog.get_logger()


@contextmanager
def timed(event: str, **fields: Any) -> Iterator[None]:
    """Log start, end and seconds of a step; log an error and let it pass."""
    log = get_logger()
    started = time.perf_counter()
    log.info(event, state="start", **fields)
    try:
        yield
    except BaseException as error:
        log.error(
            event,
            state="failed",
            seconds=_since(started),
            error=f"{type(error).__name__}: {error}",
            **fields,
        )
        raise
    log.info(event, state="end", seconds=_since(started), **fields)


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 3)
