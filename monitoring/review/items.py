"""Items of the review queue: answers that somebody should look at.

Items come up in order of `score`, highest first. At most one item per phrase is open, apart from
random ones: each of these is a draw of its own, and none may be lost to another.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection

from core.label_reports import Suspect, suspect_request
from core.tables.review import IS_OPEN, review_item

SUSPECTS = "suspects"
"""The strategy of items that are rows of the source."""
DOUBLE_SHARE = 0.1
"""The share of items that two people see."""
BUCKETS = 10_000


@dataclass(frozen=True, kw_only=True)
class ItemAnswer:
    """The answer of an item: `label`, with `confidence`; `alternatives` come after it."""

    phrase: str
    cleaned: str
    request_id: str
    version: str
    label: str
    confidence: float
    alternatives: Sequence[tuple[str, float]]
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True)
class ReviewItem(ItemAnswer):
    """A logged answer to look at.

    `probability`, in (0, 1], is how likely this very answer was to be drawn, for random items
    alone: of a phrase asked n times, one of whose answers is drawn with probability p, it is p / n.
    `frequency` is how often the phrase was asked.

    A suspect is not an answer: `label` is that of its `source_rows`, `proposed_label` is likelier.
    """

    classifier: str
    strategy: str
    score: float
    region: str | None = None
    probability: float | None = None
    frequency: int = 1
    proposed_label: str | None = None
    source_rows: Sequence[Mapping[str, Any]] | None = None

    @classmethod
    def of_answer(
        cls,
        row: sa.Row[Any],
        *,
        strategy: str,
        score: float,
        probability: float | None = None,
        frequency: int = 1,
    ) -> ReviewItem:
        """Return the item of a row of `inference`."""
        return cls(
            classifier=row.classifier,
            phrase=row.phrase,
            cleaned=row.cleaned,
            request_id=row.request_id,
            version=row.version,
            label=row.label,
            confidence=row.probability,
            alternatives=row.alternatives,
            occurred_at=row.occurred_at,
            region=row.region,
            strategy=strategy,
            score=score,
            probability=probability,
            frequency=frequency,
        )

    @classmethod
    def of_suspect(
        cls, suspect: Suspect, *, classifier: str, score: float, frequency: int
    ) -> ReviewItem:
        """Return the item of rows of the source, which no version answered."""
        first = suspect.rows[0]
        rows = [{**asdict(row), "occurred_at": row.occurred_at.isoformat()} for row in suspect.rows]
        return cls(
            classifier=classifier,
            phrase=first.phrase,
            cleaned=suspect.cleaned,
            request_id=suspect_request(classifier, first),
            version="",
            label=suspect.given,
            confidence=suspect.given_share,
            alternatives=[(suspect.proposed, suspect.proposed_share)],
            occurred_at=first.occurred_at,
            region=first.region,
            strategy=SUSPECTS,
            score=score,
            frequency=frequency,
            proposed_label=suspect.proposed,
            source_rows=rows,
        )


def add_items(
    connection: Connection,
    items: Iterable[ReviewItem],
    *,
    now: datetime,
    double_share: float = DOUBLE_SHARE,
) -> int:
    """Queue items and return how many are new. The caller commits.

    Left out are a phrase that is open already, unless the item is random, and a random item whose
    answer was drawn before. A share of `double_share` goes to two people.
    """
    rows = [
        asdict(item) | {"needs": _needs(item, double_share), "created_at": now} for item in items
    ]
    drawn = _open_draws(connection, rows)
    fresh = [
        row
        for row in rows
        if row["probability"] is not None or (row["classifier"], row["cleaned"]) not in drawn
    ]
    if not fresh:
        return 0
    query = insert(review_item).on_conflict_do_nothing().returning(review_item.c.id)
    return len(connection.execute(query, fresh).all())


def _needs(item: ReviewItem, double_share: float) -> int:
    """Return 2 for the share of requests that two people see: the same ones every time."""
    bucket = zlib.crc32(item.request_id.encode()) % BUCKETS
    return 2 if bucket < double_share * BUCKETS else 1


def _open_draws(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> set[tuple[str, str]]:
    """Return (classifier, cleaned) of the phrases that are open as random items."""
    table = review_item.c
    query = sa.select(table.classifier, table.cleaned).where(
        table.cleaned.in_([row["cleaned"] for row in rows]),
        IS_OPEN,
        table.probability.is_not(None),
    )
    return {(row.classifier, row.cleaned) for row in connection.execute(query)}
