"""Phrases that the memory answers otherwise than when the champion was fitted.

What people teach changes the answers of single phrases within the hour. Rows from before carry the
old answer: beside them, traffic that did not change would look as if it had drifted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd
from sqlalchemy.engine import Engine

from core.contracts import ModelVersion
from core.errors import HeadRefused
from core.memory_revisions import MemoryRevision, newest_revision_by
from monitoring.learnt import trained_as_of
from pipelines.memory.store import recorded_memory
from pipelines.model.memory import Memory, heaviest_labels, phrase_hash


@dataclass(frozen=True)
class TurnedPhrases:
    """`labels`: `phrase_hash` of each phrase -> the label that outweighs the others now."""

    labels: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def between(cls, before: Memory | None, now: Memory | None) -> TurnedPhrases:
        """Compare two revisions. Phrases that the earlier one lacks stay as they were: new."""
        if before is None or now is None or not (before.enabled and now.enabled):
            return cls()
        then = heaviest_labels(before)
        current = heaviest_labels(now)
        return cls(
            {
                value: current[value]
                for value in then.keys() & current.keys()
                if then[value] != current[value]
            }
        )

    def forget_answers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows without label and confidence where another label answers now."""
        if not self.labels or rows.empty:
            return rows
        now = {phrase: self.labels.get(phrase_hash(phrase)) for phrase in set(rows["cleaned"])}
        label = rows["cleaned"].map(now)
        turned = label.notna() & rows["label"].notna() & (label != rows["label"])
        return rows.assign(
            label=rows["label"].mask(turned, None), confidence=rows["confidence"].mask(turned)
        )


def turned_since_fit(engine: Engine, model: ModelVersion, memory: Memory | None) -> TurnedPhrases:
    """Return the phrases that `memory` answers otherwise than the one of the version's fit."""
    with engine.connect() as connection:
        fitted_at = trained_as_of(connection, classifier=model.classifier, version=model.version)
        if memory is None or fitted_at is None:
            return TurnedPhrases()
        before = newest_revision_by(connection, model.classifier, moment=fitted_at)
    return TurnedPhrases.between(_memory_of(before) if before else None, memory)


def _memory_of(revision: MemoryRevision) -> Memory | None:
    """Return the memory; None where its files are gone, which stops no watch."""
    try:
        return recorded_memory(revision)
    except HeadRefused:
        return None
