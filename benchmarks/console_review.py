"""Ten reviewers at once on a long queue: how soon the next item comes, and what becomes of labels.

Each reviewer takes an item and answers it, in two transactions, as the console's API does, and
waits for the next second.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from benchmarks.console_world import NAME, VERSIONS
from core.tables.loop import feedback
from monitoring.review.acts import Act, answer_item
from monitoring.review.deciding import Answer
from monitoring.review.queue import next_item

REVIEWERS = 10
PACE_SECONDS = 1.0
"""Each reviewer gives a label per second, which is fast for a person."""


@dataclass(frozen=True)
class Reviewed:
    """Milliseconds until each next item and each stored label, and what was stored.

    `twice` counts items that more than one person answered, `lost` labels without feedback.
    """

    waits: Sequence[float]
    stores: Sequence[float]
    labels: int
    twice: int
    lost: int


@dataclass(frozen=True)
class _Step:
    """One label: the item, and the milliseconds that it took to get it and to store the label."""

    item: int
    wait: float
    store: float


def fill_queue(engine: Engine, items: int) -> None:
    """Queue one item for each of the newest distinct phrases."""
    with engine.begin() as connection:
        connection.execute(_ITEMS, {"items": items, "now": datetime.now(UTC)})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("vacuum analyze review_item"))


def review_at_once(engine: Engine, *, labels: int) -> Reviewed:
    """Let REVIEWERS people give `labels` labels."""
    each = labels // REVIEWERS
    before = _count(engine, feedback)
    with ThreadPoolExecutor(REVIEWERS) as pool:
        people = [f"reviewer {number}" for number in range(REVIEWERS)]
        given = [pool.submit(_review, engine, person, each) for person in people]
        steps = [step for future in given for step in future.result()]
    return Reviewed(
        waits=[step.wait for step in steps],
        stores=[step.store for step in steps],
        labels=len(steps),
        twice=len(steps) - len({step.item for step in steps}),
        lost=len(steps) - (_count(engine, feedback) - before),
    )


def _review(engine: Engine, person: str, labels: int) -> list[_Step]:
    steps = []
    for number in range(labels):
        began = time.perf_counter()
        steps.append(_one_label(engine, person, f"{person}-{number}"))
        time.sleep(max(0.0, began + PACE_SECONDS - time.perf_counter()))
    return steps


def _one_label(engine: Engine, person: str, act: str) -> _Step:
    began = time.perf_counter()
    now = datetime.now(UTC)
    with engine.begin() as connection:
        item = next_item(connection, NAME, person=person, now=now)
    assert item is not None, "the queue is longer than the labels"
    got = time.perf_counter()
    answer = Answer("label", item.label)
    with engine.begin() as connection:
        answer_item(connection, NAME, item.id, Act(act, person, answer), now=now)
    return _Step(item.id, 1000 * (got - began), 1000 * (time.perf_counter() - got))


def _count(engine: Engine, table: sa.Table) -> int:
    with engine.connect() as connection:
        return connection.scalars(sa.select(sa.func.count()).select_from(table)).one()


_ITEMS = sa.text(f"""
    insert into review_item (classifier, phrase, cleaned, request_id, version, label, confidence,
        alternatives, region, occurred_at, strategy, frequency, score, needs, created_at)
    select '{NAME}', phrase, cleaned, request_id, version, label, probability, alternatives,
        region, occurred_at, 'low_confidence', 3, random(), 1, :now
    from (
        select distinct on (cleaned) * from inference
        where version = '{VERSIONS}' and classifier = '{NAME}'
        order by cleaned, occurred_at desc
    ) as newest
    limit :items
""")
