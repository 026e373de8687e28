"""Figures of the answers, counted as they arrive and judged by labels that stand for all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from core.contracts import LOADTEST_KEY
from core.errors import InvalidPeriod
from core.partitions import tidy_inference
from core.tables.answers import answer_count
from core.tables.loop import feedback
from core.tables.loop import inference as table
from monitoring.performance import answer_counts, judged_answers
from monitoring.performance.answer_counts import count_answers, count_some_answers
from monitoring.performance.figures import (
    Dimension,
    Performance,
    measure_by,
)
from monitoring.performance.periods import Period
from tests.support.inferences import inference

MONDAY = datetime(2026, 1, 5, 12, tzinfo=UTC)
WEEK = timedelta(days=7)
NOW = MONDAY + 3 * WEEK


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """100 answers of version 1: a week in the north, then a week without a region."""
    rows = [
        answer(
            number,
            occurred_at=MONDAY + WEEK * (number // 50),
            region="north" if number < 50 else None,
            label="heart" if number % 2 else "lung",
        )
        for number in range(100)
    ]
    rows += [
        answer(0, version="2", role="shadow", label="skin"),
        answer(200, routing_key=f"{LOADTEST_KEY}1"),
        answer(201, role="asked"),
        answer(202, classifier="chapter"),
    ]
    with engine.begin() as connection:
        connection.execute(table.insert(), rows)
    with engine.connect() as connection:
        yield connection


def answer(number: int, **changes: Any) -> dict[str, Any]:
    values = {"classifier": "block", "occurred_at": MONDAY, "probability": 0.8, **changes}
    return asdict(inference(number, **values))


def label(connection: Connection, number: int, right: str, kind: str, **more: Any) -> None:
    row = {
        "request_id": f"request-{number}",
        "classifier": "block",
        "label": right,
        "author": "ada",
        "kind": kind,
        "received_at": MONDAY + 2 * WEEK,
        **more,
    }
    connection.execute(feedback.insert().values(row))
    connection.commit()


def answered(number: int) -> str:
    return "heart" if number % 2 else "lung"


def measure(
    engine: Engine, *by: Dimension, period: Period | None = None, shadows: bool = False
) -> dict[tuple[str, ...], Performance]:
    counted = count_answers(engine, "block", now=NOW)
    with engine.connect() as connection:
        rows = measure_by(
            connection,
            "block",
            by=by,
            period=period or Period(),
            counted=counted.until,
            shadows=shadows,
        )
    return {row.group: row for row in rows}


def test_answers_to_clients_are_counted_once_by_every_dimension(
    connection: Connection, engine: Engine
) -> None:
    for _ in range(2):
        everything = measure(engine)[()]
        assert everything.answers == 100
        assert everything.estimated_accuracy == pytest.approx(0.8)
    assert {key: row.answers for key, row in measure(engine, "week").items()} == {
        ("2026-01-05",): 50,
        ("2026-01-12",): 50,
    }
    assert [row.answers for row in measure(engine, "month").values()] == [100]
    assert {key: row.answers for key, row in measure(engine, "region").items()} == {
        ("",): 50,
        ("north",): 50,
    }
    assert {key: row.answers for key, row in measure(engine, "label").items()} == {
        ("heart",): 50,
        ("lung",): 50,
    }
    by_version = measure(engine, "version", shadows=True)
    assert {key: row.answers for key, row in by_version.items()} == {
        ("1",): 100,
        ("2 (shadow)",): 1,
    }
    first_day = Period(date(2026, 1, 5), date(2026, 1, 6))
    assert measure(engine, "day", period=first_day)[("2026-01-05",)].answers == 50


def test_answers_that_arrive_later_for_an_old_day_are_added(
    connection: Connection, engine: Engine
) -> None:
    assert measure(engine)[()].answers == 100
    connection.execute(table.insert(), [answer(300, probability=0.4)])
    connection.commit()
    week = measure(engine, "week")[("2026-01-05",)]
    assert week.answers == 51
    assert week.estimated_accuracy == pytest.approx((50 * 0.8 + 0.4) / 51)


def test_the_counts_survive_the_months_of_the_log(connection: Connection, engine: Engine) -> None:
    tidy_inference(engine, now=MONDAY, kept_months=1)
    measure(engine)
    tidy_inference(engine, now=MONDAY + 30 * WEEK, kept_months=1)
    assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == 0
    assert measure(engine)[()].answers == 100


def test_a_page_counts_a_bounded_number_and_says_that_it_lags(
    connection: Connection, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_counts, "AT_ONCE", 60)
    assert not count_some_answers(engine, "block", now=NOW).complete
    total = sa.select(sa.func.sum(answer_count.c.answers)).where(sa.not_(answer_count.c.shadow))
    assert connection.scalar(total) == 60
    connection.commit()
    assert count_some_answers(engine, "block", now=NOW).complete
    assert connection.scalar(total) == 100


def test_an_insert_under_way_is_not_waited_for(connection: Connection, engine: Engine) -> None:
    connection.execute(table.insert(), [answer(300)])
    counted = count_some_answers(engine, "block", now=NOW)
    assert (counted.until, counted.complete) == (0, False)
    connection.commit()
    assert count_some_answers(engine, "block", now=NOW).complete


def test_a_random_sample_weighs_by_its_probability(connection: Connection, engine: Engine) -> None:
    label(connection, 1, "heart", "sample", probability=0.5)
    label(connection, 2, "skin", "sample", probability=0.25)
    row = measure(engine)[()]
    assert (row.basis, row.sampled, row.labelled, row.right) == ("sample", 2, 2, 1)
    assert row.accuracy is not None
    assert row.accuracy.value == pytest.approx(2 / 6)
    assert row.accuracy.low < 0.1 and row.accuracy.high > 0.7


def test_corrections_never_pass_as_accuracy(connection: Connection, engine: Engine) -> None:
    for number in range(10):
        label(connection, number, "skin", "correction")
    alone = measure(engine)[()]
    assert (alone.basis, alone.corrections, alone.labelled, alone.right) == ("none", 10, 10, 0)
    assert alone.accuracy is alone.weighted_f1 is alone.coverage is None

    for number in range(20, 60):
        label(connection, number, answered(number), "sample", probability=0.4)
    beside = measure(engine)[()]
    assert (beside.basis, beside.corrections, beside.sampled) == ("sample", 10, 40)
    assert beside.accuracy is not None and beside.accuracy.value == 1.0


def test_a_sampled_answer_that_is_corrected_later_stays_in_the_sample(
    connection: Connection, engine: Engine
) -> None:
    label(connection, 1, "heart", "sample", probability=0.5)
    label(connection, 2, "lung", "sample", probability=0.5)
    label(connection, 2, "skin", "correction", received_at=MONDAY + 3 * WEEK)
    row = measure(engine)[()]
    assert (row.sampled, row.corrections) == (2, 0)
    assert row.accuracy is not None and row.accuracy.value == 0.5


def test_none_of_these_is_a_wrong_answer_where_it_is_sampled(
    connection: Connection, engine: Engine
) -> None:
    label(connection, 1, "heart", "sample", probability=0.5)
    label(connection, 2, "", "none_of_these", probability=0.5)
    label(connection, 3, "", "none_of_these")
    row = measure(engine)[()]
    assert (row.sampled, row.judges, row.labelled, row.right) == (2, 2, 1, 1)
    assert row.corrections == 0
    assert row.accuracy is not None and row.accuracy.value == 0.5
    assert row.coverage is not None and row.coverage.value == 0.5
    assert row.weighted_f1 is not None and row.weighted_f1.value == 0.5


def test_a_kind_that_this_release_does_not_know_says_nothing(
    connection: Connection, engine: Engine
) -> None:
    label(connection, 1, "heart", "sample", probability=0.5)
    label(connection, 2, "heart", "a kind of tomorrow", probability=0.5)
    row = measure(engine)[()]
    assert (row.labelled, row.sampled) == (1, 1)


def test_people_who_label_right_answers_too_stand_for_all_without_a_sample(
    connection: Connection, engine: Engine
) -> None:
    for number in range(10):
        label(connection, number, answered(number) if number else "skin", "unknown")
        label(connection, number + 20, "skin", "unknown", author="grace")
    row = measure(engine)[()]
    assert (row.basis, row.labelled, row.corrections) == ("unselected", 20, 10)
    assert row.accuracy is not None and row.accuracy.value == pytest.approx(0.9)
    assert row.coverage is None


def test_a_label_has_precision_recall_and_f1(connection: Connection, engine: Engine) -> None:
    for number, right in enumerate(["lung", "heart", "lung", "lung", "heart", "skin"]):
        label(connection, number, right, "sample", probability=0.06)
    rows = measure(engine, "label")
    lung = rows[("lung",)]  # answered 0, 2 and 4, right 0, 2 and 3
    assert [estimate and round(estimate.value, 3) for estimate in
            (lung.accuracy, lung.recall, lung.weighted_f1)] == [0.667, 0.667, 0.667]  # fmt: skip
    skin = rows[("skin",)]
    assert (skin.answers, skin.accuracy) == (0, None)
    assert skin.recall is not None and skin.recall.value == 0.0


def test_every_group_is_judged_by_its_own_labels(connection: Connection, engine: Engine) -> None:
    label(connection, 1, "heart", "sample", probability=0.5)
    label(connection, 51, "skin", "sample", probability=0.5)
    weeks = measure(engine, "week", "version")
    values = [row.accuracy and row.accuracy.value for row in weeks.values()]
    assert (list(weeks), values) == ([("2026-01-05", "1"), ("2026-01-12", "1")], [1.0, 0.0])
    assert [row.sampled for row in measure(engine, "region").values()] == [1, 1]


def test_too_many_labels_ask_for_a_shorter_period(
    connection: Connection, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judged_answers, "READ", 1)
    label(connection, 1, "heart", "sample", probability=0.5)
    label(connection, 51, "skin", "sample", probability=0.5)
    with pytest.raises(InvalidPeriod, match="shorter"):
        measure(engine)
    assert measure(engine, period=Period(until=date(2026, 1, 10)))[()].sampled == 1
