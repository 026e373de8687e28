"""Whether reviewers agree, beyond chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from core.tables.review import review_answer, review_item

ITEMS_READ = 1000
"""The newest decided items that several people answered."""


@dataclass(frozen=True)
class Agreement:
    """Krippendorff's alpha over so many items: 1 is agreement, 0 is chance.

    None where it says nothing: no item has two answers, or all answers are equal.
    """

    items: int
    alpha: float | None


def read_agreement(connection: Connection, classifier: str) -> Agreement:
    """Return the agreement on the newest decided items."""
    table = review_item.c
    newest = (
        sa.select(table.id)
        .where(table.classifier == classifier, table.state == "decided", table.needs > 1)
        .order_by(table.decided_at.desc())
        .limit(ITEMS_READ)
    )
    answer = review_answer.c
    query = sa.select(answer.item, answer.kind, answer.label).where(
        answer.item.in_(newest), answer.undone_at.is_(None), answer.kind != "skip"
    )
    rows = [(row.item, (row.kind, row.label)) for row in connection.execute(query)]
    return measure_agreement(rows)


def measure_agreement(answers: list[tuple[int, tuple[str, str | None]]]) -> Agreement:
    """Measure the agreement of (item, what was said), one entry per person."""
    frame = pd.DataFrame(answers, columns=["item", "answer"])
    items, _ = pd.factorize(frame["item"])
    codes, distinct = pd.factorize(frame["answer"])
    counts = np.zeros((items.max(initial=-1) + 1, len(distinct)), int)
    np.add.at(counts, (items, codes), 1)
    counts = counts[counts.sum(axis=1) > 1]
    if np.count_nonzero(counts.sum(axis=0)) < 2:
        return Agreement(len(counts), None)
    return Agreement(len(counts), _nominal_alpha(counts))


def _nominal_alpha(counts: NDArray[np.int64]) -> float:
    """Return 1 - observed / expected disagreement of pairs, for counts (items, answers).

    Krippendorff, 2011, "Computing Krippendorff's alpha-reliability", section C: nominal data, any
    number of people per item.
    """
    per_item = counts.sum(axis=1)
    total = per_item.sum()
    unlike = per_item**2 - (counts**2).sum(axis=1)  # ordered pairs within an item that differ
    observed = (unlike / (per_item - 1)).sum() / total
    expected = (total**2 - (counts.sum(axis=0) ** 2).sum()) / (total * (total - 1))
    return float(1 - observed / expected)
