"""Phrases that the memory answers otherwise than when the champion was fitted.

What people teach changes the answers of single phrases within the hour. Rows from before carry the
old answer: beside them, traffic that did not change would look as if it had drifted.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from sqlalchemy.engine import Engine

from core.contracts import ModelVersion
from core.errors import HeadRefused
from core.memory_revisions import MemoryRevision, newest_revision_by
from monitoring.windows.learnt import trained_as_of
from pipelines.memory.store import recorded_memory
from pipelines.model.memory import Memory, heaviest_labels, phrase_hash

LEAST_CHANGE = 0.05
"""Of the weight of a phrase's heaviest label; a smaller change leaves the answers as they were."""


@dataclass(frozen=True)
class TurnedPhrases:
    """`hashes`: `phrase_hash` of each phrase whose evidence differs now."""

    hashes: frozenset[int] = frozenset()

    @classmethod
    def between(cls, before: Memory | None, now: Memory | None) -> TurnedPhrases:
        """Compare two revisions. Phrases that the earlier one lacks stay as they were: new."""
        if before is None or now is None or not (before.enabled and now.enabled):
            return cls()
        then = heaviest_labels(before)
        current = heaviest_labels(now)
        known = then.keys() & current.keys()
        return cls(frozenset(phrase for phrase in known if _differ(then[phrase], current[phrase])))

    def forget_answers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows without label and confidence where the phrase has turned.

        Rows of a weight above 1 stand for new phrases, which no memory knows, and stay.
        """
        if not self.hashes or rows.empty:
            return rows
        turned = {phrase for phrase in set(rows["cleaned"]) if phrase_hash(phrase) in self.hashes}
        again = rows["cleaned"].isin(turned) & (rows["weight"] <= 1)
        return rows.assign(
            label=rows["label"].mask(again, None), confidence=rows["confidence"].mask(again)
        )


def _differ(then: tuple[str, float], now: tuple[str, float]) -> bool:
    return then[0] != now[0] or abs(then[1] - now[1]) > LEAST_CHANGE


def turned_since_fit(engine: Engine, model: ModelVersion, memory: Memory | None) -> TurnedPhrases:
    """Return the phrases that `memory` answers otherwise than the one of the version's fit."""
    with engine.connect() as connection:
        fitted_at = trained_as_of(connection, classifier=model.classifier, version=model.version)
        if memory is None or fitted_at is None:
            return TurnedPhrases()
        before = newest_revision_by(connection, model.classifier, moment=fitted_at)
    if before is None or before.revision == memory.revision:
        return TurnedPhrases()
    return TurnedPhrases.between(_memory_of(before), memory)


def _memory_of(revision: MemoryRevision) -> Memory | None:
    """Return the memory; None where its files are gone, which stops no watch."""
    try:
        return recorded_memory(revision)
    except HeadRefused:
        return None
