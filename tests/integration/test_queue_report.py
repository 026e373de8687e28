"""What each strategy's labels were worth, from items, decisions and the next version's answers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from sqlalchemy.engine import Connection, Engine
from typer.testing import CliRunner

from cli import app as cli
from core.contracts import Verdict
from core.database import DatabaseUrls
from core.decisions import record_decision
from core.params.review import ReviewShares
from core.params.schema import load_params
from core.settings import REPOSITORY
from core.tables.review import review_item
from flows.context import LoopContext
from monitoring.review.items import ReviewItem, add_items
from monitoring.review.worth import StrategyWorth, queue_report
from tests.support.places import own_place
from tests.support.traffic import log

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SHARES = ReviewShares().by_strategy()


def decide(
    connection: Connection,
    number: int,
    *,
    right: str | None,
    strategy: str = "novel",
    at: datetime = NOW,
    classifier: str = "topic",
    frequency: int = 5,
) -> None:
    """An item whose answer was label00, decided to be `right`."""
    item = ReviewItem(
        classifier=classifier, phrase=f"P{number}", cleaned=f"p{number}",
        request_id=f"{strategy}-{number}", version="1", label="label00", confidence=0.5,
        alternatives=[], occurred_at=at, strategy=strategy, score=1.0, frequency=frequency,
        probability=0.01 if strategy == "random" else None,
    )  # fmt: skip
    add_items(connection, [item], now=at)
    connection.execute(
        review_item.update()
        .where(review_item.c.request_id == item.request_id)
        .values(state="decided", decided_label=right, decided_at=at)
    )


def report(engine: Engine, **options: Any) -> dict[str, StrategyWorth]:
    with engine.connect() as connection:
        rows = queue_report(
            connection, "topic", shares=SHARES, now=NOW + timedelta(days=1), seed=7, **options
        )
    return {row.strategy: row for row in rows}


def test_an_empty_queue_has_a_row_for_every_strategy(engine: Engine) -> None:
    rows = report(engine)
    assert list(rows) == list(SHARES)
    assert {(row.labels, row.fixed, row.points, row.proposal) for row in rows.values()} == {
        (0, None, None, "")
    }


def test_errors_and_the_answers_that_labels_fix_are_counted(engine: Engine) -> None:
    with engine.begin() as connection:
        decide(connection, 1, right="label07")
        decide(connection, 2, right="label00")
        decide(connection, 3, right=None)  # none of these
        decide(connection, 4, right="label07", strategy="requested")
    rows = report(engine)
    novel = rows["novel"]
    assert (novel.labels, novel.errors, novel.fixed) == (3, 2, pytest.approx(10 / 3, abs=0.01))
    assert (rows["requested"].labels, rows["requested"].share) == (1, 0.0)


def test_points_are_those_of_the_next_version(engine: Engine) -> None:
    """Of 10 answers of version 2, three to p1 are right now; one to p2 is wrong now."""
    phrases = ["p1"] * 4 + ["p2"] * 2 + ["other"] * 4
    labels = ["label07"] * 3 + ["label00", "label00", "label09"] + ["label00"] * 4
    moments = [NOW + timedelta(hours=6, minutes=number) for number in range(10)]
    rows = pd.DataFrame({
        "occurred_at": moments, "region": None, "cleaned": phrases, "label": labels,
        "confidence": 0.9,
    })  # fmt: skip
    with engine.begin() as connection:
        decide(connection, 1, right="label07")
        decide(connection, 2, right="label00")
        decide(connection, 3, right="label07", strategy="unseen", at=NOW + timedelta(hours=9))
    assert report(engine)["novel"].points is None
    with engine.begin() as connection:
        record_decision(
            connection,
            Verdict("promote", ("x",), {"version": "2"}),
            classifier="topic",
            subject="gate",
            decided_at=NOW + timedelta(hours=5),
        )
        log(connection, rows, classifier="topic", version="2")
    found = report(engine)
    # p1: 3 of 10 answers gained; p2: 1 right of 2 where both were right: 30 - 10 points, 2 labels
    assert found["novel"].points == pytest.approx(100 * (30 - 10) / 2)
    assert found["unseen"].points is None


def test_a_strategy_worse_than_random_for_long_is_proposed_for_switching_off(
    engine: Engine,
) -> None:
    with engine.begin() as connection:
        for number in range(60):
            at = NOW - timedelta(days=55 - 0.9 * number)
            wrong = "label07" if number % 2 else "label00"
            decide(connection, number, right=wrong, strategy="random", at=at)
            decide(connection, 100 + number, right="label00", at=at)
            decide(connection, 200 + number, right="label07", strategy="unseen", at=at)
    rows = report(engine)
    assert rows["novel"].p_value is not None and rows["novel"].p_value < 0.001
    assert "set review.shares.novel to 0" in rows["novel"].proposal
    assert rows["unseen"].proposal == rows["random"].proposal == ""
    assert rows["random"].p_value is None


def test_the_command_prints_the_report(
    engine: Engine, database: DatabaseUrls, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.begin() as connection:
        decide(connection, 1, right="label07", classifier="chapter", at=datetime.now(UTC))
    context = LoopContext(
        own_place(tmp_path), database, engine, load_params(REPOSITORY / "params.yaml")
    )
    from contextlib import nullcontext

    monkeypatch.setattr("cli.queue.command_context", lambda: nullcontext(context))
    printed = CliRunner().invoke(cli.app, ["queue", "chapter", "--json"])
    assert printed.exit_code == 0, printed.output
    rows = {row["strategy"]: row for row in json.loads(printed.stdout)["strategies"]}
    assert (rows["novel"]["labels"], rows["novel"]["errors"]) == (1, 1)
    table = CliRunner().invoke(cli.app, ["queue", "chapter"])
    assert "low confidence" in table.stdout
    wrong = CliRunner().invoke(cli.app, ["queue", "unknown"])
    assert wrong.exit_code == 2
