"""Which phrases somebody has labelled: the source, or people by their feedback."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.feedback import is_label
from core.memory_revisions import newest_revision_by
from core.tables.loop import feedback
from core.tables.pins import says_more_than_the_pin
from monitoring.drift.faults import is_faulty
from monitoring.labels.feedback import answered
from pipelines.memory.store import recorded_memory
from pipelines.model.memory import Memory


@dataclass(frozen=True)
class LabelledPhrases:
    """The phrases that a memory knows, and those of `others`, such as newer feedback.

    `memory` is called for a phrase that the others lack: loading one takes a while.
    """

    memory: Callable[[], Memory | None]
    others: Collection[str]

    def __call__(self, cleaned: Sequence[str]) -> np.ndarray:
        return np.array([self._labelled(phrase) for phrase in cleaned], dtype=bool)

    def _labelled(self, phrase: str) -> bool:
        if phrase in self.others:
            return True
        memory = self.memory()
        return memory is not None and memory.place(phrase) is not None


def phrases_with_feedback(
    connection: Connection, classifier: str, *, after: int, received_by: datetime | None = None
) -> set[str]:
    """Return the cleaned phrases of the feedback with an id above `after`, received by a moment."""
    newer = (
        feedback.c.classifier == classifier,
        feedback.c.id > after,
        is_label(),
        sa.true() if received_by is None else feedback.c.received_at <= received_by,
    )
    answer = answered(sa.select(feedback.c.request_id).where(*newer))
    answers = (
        sa.select(answer.c.cleaned)
        .join(feedback, feedback.c.request_id == answer.c.request_id)
        .where(
            *newer,
            says_more_than_the_pin(answer, sa.func.btrim(feedback.c.label)),
            ~is_faulty(answer, as_of=received_by),
        )
    )
    examples = sa.select(feedback.c.cleaned).where(*newer, feedback.c.cleaned.is_not(None))
    return set(connection.scalars(sa.union(answers, examples)))


def labelled_by(connection: Connection, classifier: str, *, moment: datetime) -> LabelledPhrases:
    """Return the phrases that were labelled by a moment: what a fit of that moment could learn."""
    revision = newest_revision_by(connection, classifier, moment=moment)
    known = revision.last_feedback if revision else None
    newer = phrases_with_feedback(connection, classifier, after=known or 0, received_by=moment)
    return LabelledPhrases(lambda: recorded_memory(revision) if revision else None, newer)
