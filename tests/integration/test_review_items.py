"""Items enter the queue once, and a share of them goes to two people."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from core.tables.review import review_item
from monitoring.review.items import ReviewItem, add_items
from tests.support.reviews import item

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def add(engine: Engine, *items: ReviewItem, **options: float) -> int:
    with engine.begin() as connection:
        return add_items(connection, items, now=NOW, **options)


def column(engine: Engine, name: str) -> list:
    with engine.connect() as connection:
        query = sa.select(review_item.c[name]).order_by(review_item.c.id)
        return list(connection.scalars(query))


def test_an_open_phrase_is_queued_once(engine: Engine) -> None:
    assert add(engine, item(1), item(2, cleaned="phrase 1"), item(3)) == 2
    assert add(engine, item(4, cleaned="phrase 3"), item(5)) == 1
    assert column(engine, "cleaned") == ["phrase 1", "phrase 3", "phrase 5"]


def test_a_random_item_is_never_lost_to_another_of_its_phrase(engine: Engine) -> None:
    random = item(2, cleaned="phrase 1", strategy="random", probability=0.1)
    assert add(engine, item(1), random, replace(random, request_id="request-3")) == 3
    assert add(engine, random) == 0
    assert add(engine, random, item(4, cleaned="phrase 1")) == 0
    assert column(engine, "probability") == [None, 0.1, 0.1]


def test_a_decided_phrase_may_come_again(engine: Engine) -> None:
    add(engine, item(1))
    with engine.begin() as connection:
        connection.execute(sa.update(review_item).values(state="decided"))
    assert add(engine, item(1)) == 1


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_the_share_goes_to_two_people(engine: Engine, share: float) -> None:
    add(engine, *map(item, range(2000)), double_share=share)
    needs = column(engine, "needs")
    assert needs.count(2) == pytest.approx(2000 * share, abs=60)
    assert set(needs) <= {1, 2}
