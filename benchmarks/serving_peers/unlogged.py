"""This project's service without its log, to measure the cost of the log.

Run it with `bentoml serve ...:Classifier`. The product has no option for this.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

from bentos import service, wiring
from bentos.answering import answers
from bentos.inference_log.journal import Journal


class NoJournal(Journal):
    """A journal that keeps nothing."""

    async def log(self, rows: Sequence[bytes]) -> None:
        """Return at once."""


def no_row(*_: Any, **__: Any) -> bytes:
    """Make no row."""
    return b""


def replace_in(module: ModuleType, name: str, value: object) -> None:
    """Put `value` in the place of a name that the module has; raise `AttributeError` otherwise."""
    getattr(module, name)
    setattr(module, name, value)


replace_in(wiring, "Journal", NoJournal)
replace_in(answers, "journal_row", no_row)
Classifier = service.Classifier
