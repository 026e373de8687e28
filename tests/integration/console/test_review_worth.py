"""The page that says what the labels of each strategy were worth."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from starlette.testclient import TestClient

from core.tables.loop import inference as table
from core.tables.review import review_item
from monitoring.review.items import add_items
from tests.integration.console.conftest import NOW
from tests.support.inferences import inference
from tests.support.reviews import item


def decided(engine: Engine, strategy: str, numbers: range, *, right: str) -> None:
    """One label a day or so, until NOW."""
    probability = 0.01 if strategy == "random" else None
    found = [
        item(number, strategy=strategy, probability=probability, frequency=4) for number in numbers
    ]
    with engine.begin() as connection:
        add_items(connection, found, now=NOW)
        for place, one in enumerate(found):
            moment = NOW - timedelta(days=55) * (1 - place / len(found))
            connection.execute(
                review_item.update()
                .where(review_item.c.request_id == one.request_id)
                .values(state="decided", decided_label=right, decided_at=moment)
            )


def test_an_empty_queue_is_refilled_from_the_log(console: TestClient, engine: Engine) -> None:
    moments = [NOW - timedelta(hours=number + 1) for number in range(30)]
    rows = [asdict(inference(number, occurred_at=moment)) for number, moment in enumerate(moments)]
    with engine.begin() as connection:
        connection.execute(table.insert(), rows)
    found = console.get("/api/organ/review/next").json()["item"]
    assert found["phrase"].startswith("Phrase ")
    page = console.get("/c/organ/review").text
    assert "/c/organ/review/worth" in page
    assert '<th scope="row">random</th>' in console.get("/c/organ/review/worth").text
    with engine.connect() as connection:
        waiting = connection.scalar(sa.select(sa.func.count()).select_from(review_item))
    assert waiting == 30


def test_without_labels_every_strategy_has_a_row(console: TestClient) -> None:
    page = console.get("/c/organ/review/worth")
    assert page.status_code == 200
    for strategy in ("random", "low confidence", "novel", "disagreement", "unseen", "contradicted"):
        assert f'<th scope="row">{strategy}</th>' in page.text
    assert "set review.shares" not in page.text


def test_a_strategy_worse_than_random_is_named_first(console: TestClient, engine: Engine) -> None:
    decided(engine, "random", range(60), right="liver")
    decided(engine, "novel", range(100, 160), right="heart")
    text = console.get("/c/organ/review/worth").text
    assert "set review.shares.novel to 0" in text
    assert text.index("set review.shares.novel") < text.index("<table>")


@pytest.mark.parametrize("classifier", ["nobody", "%00", "a%20b"])
def test_an_unknown_classifier_is_explained(console: TestClient, classifier: str) -> None:
    assert console.get(f"/c/{classifier}/review/worth").status_code == 404
