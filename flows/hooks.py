"""What surrounds every task and flow: start, end and seconds in the log, and one line for a failure."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from core.logs import get_logger, timed

P = ParamSpec("P")
R = TypeVar("R")


def timed_task(function: Callable[P, R]) -> Callable[P, R]:
    """Log start, end and seconds of each call; a retry logs again, with its error before it."""

    @wraps(function)
    def logged(*args: P.args, **kwargs: P.kwargs) -> R:
        with timed(function.__name__.replace("_", " ")):
            return function(*args, **kwargs)

    return logged


def log_failure(flow: Any, flow_run: Any, state: Any) -> None:
    """A failure hook: which flow, which run, and what the error said."""
    get_logger().error("flow failed", flow=flow.name, flow_run=flow_run.name, flow_run_id=str(flow_run.id), error=state.message)
