"""Fixes are registered as they arrive, and later answers that agree with them are counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from core.contracts import LOADTEST_KEY
from core.feedback import record_feedback
from core.tables.fixes import fix
from core.tables.loop import feedback
from core.tables.loop import inference as table
from monitoring.labels import fix_counts, fixes
from monitoring.labels.fixes import Fix, FixTotals, count_fixes, read_fixes
from monitoring.performance.answer_counts import count_answers, count_some_answers
from tests.support.inferences import inference

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOW = START + 100 * HOUR


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """Ten wrong answers "heart" to ten phrases."""
    answer(engine, *(row(number) for number in range(10)))
    with engine.connect() as connection:
        yield connection


def row(number: int, *, again: int = 0, **changes: Any) -> dict[str, Any]:
    values = {"classifier": "block", "occurred_at": START, **changes}
    asked = asdict(inference(number, **values))
    return asked | ({"request_id": f"again-{again}"} if again else {})


def answer(engine: Engine, *rows: dict[str, Any]) -> None:
    with engine.begin() as connection:
        connection.execute(table.insert(), list(rows))


def correct(connection: Connection, number: int, label: str = "lung", **more: Any) -> None:
    values: dict[str, Any] = {"author": "ada", "received_at": START + HOUR, **more}
    record_feedback(connection, request_id=f"request-{number}", label=label, **values)
    connection.commit()


def counted(connection: Connection, engine: Engine) -> dict[str, int]:
    """Phrase -> answers that the fixes of it changed."""
    count_answers(engine, "block", now=NOW)
    connection.rollback()
    return {found.phrase: found.answers for found in read_fixes(connection, "block")}


def test_a_label_that_contradicts_its_answer_is_a_fix(
    connection: Connection, engine: Engine
) -> None:
    correct(connection, 1)
    correct(connection, 2, "heart")
    connection.execute(
        feedback.insert().values(
            request_id="request-3", classifier="block", label="", author="ada",
            kind="none_of_these", received_at=START + HOUR,
        )
    )  # fmt: skip
    connection.commit()
    assert counted(connection, engine) == {"Phrase 1": 0}
    [found] = read_fixes(connection, "block")
    assert isinstance(found, Fix)
    assert (found.before, found.label, found.version, found.author) == ("heart", "lung", "1", "ada")


def test_later_answers_that_say_so_are_counted_once(connection: Connection, engine: Engine) -> None:
    correct(connection, 1)
    assert counted(connection, engine) == {"Phrase 1": 0}
    later = {"occurred_at": START + 2 * HOUR, "label": "lung"}
    answer(
        engine,
        row(1, again=1, **later),
        row(1, again=2, **later),
        row(1, again=3, occurred_at=START + 2 * HOUR),
        row(1, again=4, label="lung"),
        row(2, again=5, **later),
        row(1, again=6, role="shadow", **later),
        row(1, again=7, routing_key=f"{LOADTEST_KEY}1", **later),
    )
    assert counted(connection, engine) == {"Phrase 1": 2}
    assert counted(connection, engine) == {"Phrase 1": 2}


def test_an_answer_that_a_pin_changed_counts(connection: Connection, engine: Engine) -> None:
    correct(connection, 1)
    pinned = {"pin": 1, "pinned_label": "lung", "occurred_at": START + 2 * HOUR}
    answer(engine, row(1, again=1, **pinned))
    assert counted(connection, engine) == {"Phrase 1": 1}


def test_a_thank_you_counts_an_answer_once_however_many_fixes_asked_for_it(
    connection: Connection, engine: Engine
) -> None:
    answer(engine, row(1, again=9))
    correct(connection, 1)
    correct(connection, 2)
    record_feedback(
        connection, request_id="again-9", label="lung", author="ada", received_at=START + HOUR
    )
    correct(connection, 3, author="grace")
    later = {"occurred_at": START + 2 * HOUR, "label": "lung"}
    answer(engine, *(row(number, again=number, **later) for number in (1, 2, 3)))
    assert counted(connection, engine) == {"Phrase 1": 1, "Phrase 2": 1, "Phrase 3": 1}
    assert count_fixes(connection, "block", author="ada") == FixTotals(fixes=3, answers=2)
    assert count_fixes(connection, "block", author="nobody") == FixTotals(0, 0)


def test_a_label_that_was_replaced_says_when(connection: Connection, engine: Engine) -> None:
    correct(connection, 1)
    correct(connection, 1, "skin", received_at=START + 3 * HOUR)
    count_answers(engine, "block", now=NOW)
    newest, oldest = read_fixes(connection, "block")
    assert (newest.replaced_at, oldest.replaced_at) == (None, START + 3 * HOUR)


def test_a_list_goes_on_where_it_ended_and_may_be_one_authors(
    connection: Connection, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fixes, "SHOWN", 3)
    for number in range(4):
        correct(connection, number, author="grace" if number == 2 else "ada")
    count_answers(engine, "block", now=NOW)
    first = read_fixes(connection, "block")
    rest = read_fixes(connection, "block", before=first[-1].id)
    assert [found.phrase for found in [*first, *rest]] == [f"Phrase {n}" for n in (3, 2, 1, 0)]
    assert [found.phrase for found in read_fixes(connection, "block", author="grace")] == [
        "Phrase 2"
    ]


def test_a_page_registers_a_bounded_number(
    connection: Connection, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fix_counts, "LABELLED", 2)
    for number in range(5):
        correct(connection, number)
    known = sa.select(sa.func.count()).select_from(fix)
    for expected in (2, 4, 5, 5):
        count_some_answers(engine, "block", now=NOW)
        assert connection.scalar(known) == expected
        connection.rollback()


def test_an_import_under_way_is_not_waited_for_and_not_lost(
    connection: Connection, engine: Engine
) -> None:
    with engine.connect() as importing:
        record_feedback(
            importing, request_id="request-1", label="lung", author="ada", received_at=START + HOUR
        )
        correct(connection, 2)
        assert counted(connection, engine) == {}
        importing.commit()
    assert counted(connection, engine) == {"Phrase 1": 0, "Phrase 2": 0}
