"""This project's service without its log, to measure the cost of the log.

Run it with `bentoml serve ...:Classifier`. The product has no option for this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bentos import service
from bentos.answering import answers
from bentos.inference_log.journal import Journal


class NoJournal(Journal):
    """A journal that keeps nothing."""

    async def log(self, rows: Sequence[bytes]) -> None:
        """Return at once."""


def no_row(*_: Any, **__: Any) -> bytes:
    """Make no row."""
    return b""


setattr(service, "Journal", NoJournal)  # noqa: B010  both names are imports of these modules
setattr(answers, "journal_row", no_row)  # noqa: B010
Classifier = service.Classifier
