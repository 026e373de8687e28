"""structlog, once: JSON in files and pipes, readable on a terminal; no secret in any line."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog

_AFTER_USER = re.compile(r"(://[^\s:/@]*):(\S+)")
_NAMED_SECRET = re.compile(
    r"""(?P<name>(?:pass(?:word|wd|phrase)|(?<=_)pass|pwd|secret|token|credentials?|authorization
            |(?:api|access|account|secret|private|shared|signing|encryption)[ _-]?key)
        (?:\\*["']|%2[27])?                                # the name may stand in quotes
        [ \t]*(?:[=:]+>?|%3[AD])[ \t]*                      # %3D: a URL within a URL
        (?:(?:bearer|basic|token)[ ]+)?(?:b(?=["']))?)
    (?:(?P<quote>\\*["'])(?:(?P=quote){2}|(?!(?P=quote))(?:\\{4}|\\{3}["']|\\.|.))*+(?:(?P=quote)[^\s&,;:"'(){}\[\]\\]*)?
        |(?=\S)(?:\{(?:\}\}|[^}\n])*+\}?)?(?:\\.|[^\s&]|&(?![\w.%-]+=))*)""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


def redact(text: str) -> str:
    """Blank the password of every URL, and what follows the name of a secret: `password=x`, `"api_key": "x"`, `PWD={x}`, `PWD%3Dx`.

    Rather too much than too little: a word after `token:` goes, too. Takes time in proportion to the text, whatever it holds.
    """
    return _NAMED_SECRET.sub(_blank_value, _AFTER_USER.sub(_blank_password, text))


def _blank_password(found: re.Match[str]) -> str:
    """A password may hold an @: the last one ends it."""
    password, _, place = found[2].rpartition("@")
    return f"{found[1]}:***@{place}" if password else found[0]


def _blank_value(found: re.Match[str]) -> str:
    quote = found["quote"] or ""
    return f"{found['name']}{quote}***{quote}"


def first_line(error: BaseException) -> str:
    """The first line of what an error says, SQLAlchemy's of what the driver said; its kind when that is nothing. Without passwords."""
    said = getattr(error, "orig", None) or error
    lines = redact(str(said)).strip().splitlines()
    return lines[0].rstrip() if lines else type(said).__name__


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
    """Send structlog to standard error; `log_format` is "json", "console" or "auto" (console on a terminal)."""
    readable = sys.stderr.isatty() if log_format == "auto" else log_format == "console"
    renderer = structlog.dev.ConsoleRenderer() if readable else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact_event,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: structlog.PrintLogger(
            sys.stderr
        ),  # the stream of the moment: tests and daemons replace it
        cache_logger_on_first_use=False,
    )


def get_logger() -> Any:
    """Return the logger; bind ids once with `structlog.contextvars.bound_contextvars(run=..., classifier=...)`."""
    return structlog.get_logger()


@contextmanager
def timed(event: str, **fields: Any) -> Iterator[None]:
    """Log start, end and seconds of a step; on an error its kind, and let it pass."""
    log, started = get_logger(), time.perf_counter()
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
