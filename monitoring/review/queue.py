"""The next item of a person, by lease: nobody else gets it, unless it needs several people."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection

from core.errors import UnknownRequest
from core.tables.review import IS_OPEN, review_answer, review_item, review_lease
from monitoring.review.items import ItemAnswer

Condition = sa.ColumnElement[bool]
LEASE = timedelta(minutes=10)
"""How long nobody else gets an item that a person looks at."""
TRIES = 100
"""Items that somebody else took between two statements: each reviewer takes one at a time."""


@dataclass(frozen=True, kw_only=True)
class QueuedItem(ItemAnswer):
    """What a person sees of an item. The strategy is hidden: random items look like all others."""

    id: int
    region: str | None
    frequency: int
    proposed_label: str | None = None

    @property
    def likeliest(self) -> tuple[tuple[str, float], ...]:
        """The five likeliest labels with their probabilities, the answer first.

        Of a suspect the proposed label comes first, then that of the source.
        """
        own = (self.label, self.confidence)
        if self.proposed_label is not None:
            return (*self.alternatives, own)
        return (own, *self.alternatives)[:5]

    @property
    def accepted(self) -> str:
        """The label that one key accepts."""
        return self.likeliest[0][0]


def next_item(
    connection: Connection,
    classifier: str,
    *,
    person: str,
    now: datetime,
    besides: Collection[int] = (),
) -> QueuedItem | None:
    """Return the item of highest score that the person may answer, and lease it to them.

    It is one that they hold already, unless that is among `besides`. None when nothing waits for
    them. The caller commits.
    """
    item = _held(connection, classifier, person=person, now=now, besides=besides)
    if item is None:
        item = _take(connection, classifier, room_for(person, now), besides=besides)
    if item is not None:
        lease_item(connection, item, person=person, now=now)
    return None if item is None else read_item(connection, classifier, item)


def read_item(connection: Connection, classifier: str, item: int) -> QueuedItem:
    """Return an item of the classifier. Raises `UnknownRequest`."""
    table = review_item.c
    columns = [table[name] for name in QueuedItem.__dataclass_fields__]
    query = sa.select(*columns).where(table.id == item, table.classifier == classifier)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise UnknownRequest(
            f"an item of the queue of {classifier}", came=str(item), do="take the next item"
        )
    pairs = tuple((label, share) for label, share in row.alternatives)
    return QueuedItem(**{**row._mapping, "alternatives": pairs})


def lease_item(connection: Connection, item: int, *, person: str, now: datetime) -> None:
    """Give an item to a person for LEASE from now on."""
    query = insert(review_lease).values(item=item, person=person, until=now + LEASE)
    renewed = query.on_conflict_do_update(
        index_elements=("item", "person"), set_={"until": now + LEASE}
    )
    connection.execute(renewed)


def is_held(connection: Connection, item: int, *, person: str, now: datetime) -> bool:
    """Return whether a person has the item before them."""
    lease = review_lease.c
    held = sa.exists().where(lease.item == item, lease.person == person, lease.until > now)
    return bool(connection.scalar(sa.select(held)))


def count_waiting(connection: Connection, classifier: str) -> int:
    """Count the open items of a classifier."""
    query = sa.select(sa.func.count()).where(review_item.c.classifier == classifier, IS_OPEN)
    return int(connection.scalar(query) or 0)


def _held(
    connection: Connection,
    classifier: str,
    *,
    person: str,
    now: datetime,
    besides: Collection[int],
) -> int | None:
    lease = review_lease.c
    leased = sa.select(lease.item).where(lease.person == person, lease.until > now)
    items = set(connection.scalars(leased)) - set(besides)
    table = review_item.c
    query = sa.select(table.id, table.score).where(
        table.id.in_(items), table.classifier == classifier, table.state == "open"
    )
    held = [(-row.score, row.id) for row in connection.execute(query)] if items else []
    return min(held)[1] if held else None


def _take(
    connection: Connection, classifier: str, has_room: Condition, *, besides: Collection[int]
) -> int | None:
    """Lock an item that has room for a person.

    A lease that was committed after the statement began is invisible to it, and the lock is free
    again: so the room is looked at once more behind the lock. An item without room is released
    at once: whoever waits for a lock holds none.
    """
    passed = list(besides)
    for _ in range(TRIES):
        tried = connection.begin_nested()
        item = _lock_best(connection, classifier, passed, has_room)
        if item is None or _still(connection, item, has_room):
            tried.commit()
            return item
        tried.rollback()
        passed.append(item)
    return None


def _lock_best(
    connection: Connection, classifier: str, passed: Collection[int], has_room: Condition
) -> int | None:
    """Lock the best item that nobody else has locked; wait for one where all are locked."""
    query = (
        sa.select(review_item.c.id)
        .where(*_open(classifier, passed), has_room)
        .order_by(review_item.c.score.desc(), review_item.c.id)
        .limit(1)
    )
    item: int | None = connection.scalar(query.with_for_update(of=review_item, skip_locked=True))
    if item is None:
        item = connection.scalar(query.with_for_update(of=review_item))
    return item


def _still(connection: Connection, item: int, has_room: Condition) -> bool:
    query = sa.select(sa.true()).where(review_item.c.id == item, IS_OPEN, has_room)
    return connection.scalar(query) is not None


def _open(classifier: str, besides: Collection[int]) -> tuple[Condition, ...]:
    passed = sa.literal(list(besides), sa.ARRAY(sa.BigInteger))
    return (
        review_item.c.classifier == classifier,
        IS_OPEN,
        review_item.c.id != sa.all_(passed),
    )


def room_for(person: str, now: datetime) -> Condition:
    """Return the condition for items that need one more answer, which this person may give.

    Counts, because the database looks them up item by item; a join reads all answers of a person.
    """
    answer = review_answer.c
    lease = review_lease.c
    given = (answer.item == review_item.c.id, answer.undone_at.is_(None))
    own = _count(sa.select(sa.func.count()).where(*given, answer.person == person))
    answers = _count(sa.select(sa.func.count()).where(*given, answer.kind != "skip"))
    leases = _count(
        sa.select(sa.func.count()).where(
            lease.item == review_item.c.id, lease.person != person, lease.until > now
        )
    )
    return sa.and_(own == 0, answers + leases < review_item.c.needs)


def _count(query: sa.Select[Any]) -> sa.ScalarSelect[Any]:
    return query.correlate(review_item).scalar_subquery()
