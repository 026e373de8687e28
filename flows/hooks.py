"""Wraps every task and flow: logs start, end and seconds, names outages, and reports failures.

A failure is one line in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from core.errors import PerennialError
from core.logs import get_logger, timed
from flows.notify import notify_completion, notify_failure
from flows.outages import name_outage, named_outages
from flows.pages.runs import PARTLY_FAILED, NotCompleted

P = ParamSpec("P")
R = TypeVar("R")


def timed_task(function: Callable[P, R]) -> Callable[P, R]:
    """Log start, end and seconds of each call, also of each retry."""

    @wraps(function)
    def logged(*args: P.args, **kwargs: P.kwargs) -> R:
        with timed(function.__name__.replace("_", " ")), named_outages():
            return function(*args, **kwargs)

    return logged


def log_failure(flow: Any, flow_run: Any, state: Any) -> None:
    """Log a failure: which flow, which run, and the message of the error.

    What could not be trained while the rest of a run went on is in the log already.
    """
    if state.name == PARTLY_FAILED:
        return
    get_logger().error(
        "flow failed",
        flow=flow.name,
        flow_run=flow_run.name,
        flow_run_id=str(flow_run.id),
        error=state.message,
    )


HOOKS: dict[str, Any] = {
    "on_completion": [notify_completion],
    "on_failure": [log_failure, notify_failure],
    "on_crashed": [log_failure, notify_failure],
}
"""What follows the end of a flow. A hook that fails costs no run."""


def quiet_named_errors() -> None:
    """Remove the traceback from Prefect's log lines about named errors and outages.

    A run that ends in a state of its verdict's name is not an unexpected end, and no line says so.
    """
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(_without_traceback)
    logging.getLogger("prefect.engine").addFilter(_is_unexpected)


def _without_traceback(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    while error is not None:
        if isinstance(error, PerennialError) or name_outage(error):
            record.exc_info = None
        error = error.__cause__
    return True


def _is_unexpected(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, NotCompleted)
