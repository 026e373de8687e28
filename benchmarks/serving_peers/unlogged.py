"""This project's service without its log, to tell what the log costs: `bentoml serve ...:Classifier`.

No option of the product does this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bentos import service
from bentos.answering import answers
from bentos.inference_log.journal import Journal


class NoJournal(Journal):
    """Keeps nothing."""

    async def log(self, rows: Sequence[bytes]) -> None:
        """Return at once."""


def no_row(*_: Any, **__: Any) -> bytes:
    """Make no row either."""
    return b""


service.Journal, answers.journal_row = NoJournal, no_row  # type: ignore[misc]
Classifier = service.Classifier
