"""What a diagnosis could not measure, and why: a diagnosis never ends a retraining."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from core.errors import PerennialError
from core.logs import first_line, get_logger

LONGEST = 300
Result = TypeVar("Result")


@dataclass(frozen=True)
class NotMeasured:
    """Why something was not measured, in one clause."""

    reason: str


def measured(
    subject: str, measure: Callable[[], Result], *, classifier: str
) -> Result | NotMeasured:
    """Return what `measure` returns, or why it failed.

    The log names `subject` and has the traceback of every error that is not a named one.
    """
    try:
        return measure()
    except PerennialError as error:
        get_logger().warning(
            "not measured", subject=subject, classifier=classifier, error=str(error)
        )
        return NotMeasured(str(error))
    except Exception as error:
        reason = f"{type(error).__name__}: {first_line(error)}"[:LONGEST]
        get_logger().exception("not measured", subject=subject, classifier=classifier)
        return NotMeasured(reason)
