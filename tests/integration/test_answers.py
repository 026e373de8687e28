"""The log is searched, and says how good the answers were."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from core.contracts import LOADTEST_KEY
from core.database import DatabaseUrls
from core.feedback import FeedbackRow, record_feedback
from core.settings import Settings
from core.tables.loop import inference as table
from machine.environment import child_settings
from monitoring import answers as answers_module
from monitoring.answers import FoundAnswer, Search, answer_page, search_answers
from monitoring.labels.feedback_file import read_feedback_file
from monitoring.performance import quality
from monitoring.performance.quality import answers_since, quality_over_time, recent_quality
from tests.support.inferences import inference
from tests.support.places import clean_environment

ROOT = Path(__file__).parents[2]
MONDAY = datetime(2026, 1, 5, 12, tzinfo=UTC)
WEEK = timedelta(days=7)
NOW = MONDAY + 9 * WEEK


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """Ten answers of version 1 on a Monday, two of version 2 a week later, and what counts not."""
    first = [
        answer(number, probability=0.5 + number / 100, region="north" if number % 3 else None)
        for number in range(10)
    ]
    second = [answer(20 + number, version="2", occurred_at=MONDAY + WEEK) for number in range(2)]
    others = [
        answer(0, version="2", role="shadow", label="lung"),
        answer(31, routing_key=f"{LOADTEST_KEY}1"),
        answer(32, classifier="chapter"),
    ]
    with engine.begin() as connection:
        connection.execute(table.insert(), [*first, *second, *others])
    with engine.connect() as connection:
        yield connection


def answer(number: int, **changes: Any) -> dict[str, Any]:
    values = {"classifier": "block", "occurred_at": MONDAY, **changes}
    return asdict(inference(number, **values))


def label(connection: Connection, number: int, right: str, **more: Any) -> None:
    record_feedback(
        connection,
        request_id=f"request-{number}",
        label=right,
        author="ada",
        received_at=MONDAY + WEEK,
        **more,
    )


def found(connection: Connection, **search: Any) -> list[str]:
    rows = search_answers(connection, Search("block", **search))
    return [row.request_id.removeprefix("request-") for row in rows]


def test_the_newest_answers_come_first_and_no_shadow_is_among_them(
    connection: Connection,
) -> None:
    assert found(connection, limit=2) == ["21", "20"]
    assert found(connection, limit=50).count("0") == 1


@pytest.mark.parametrize(
    ("search", "ids"),
    [
        ({"text": "PHRASE 7"}, ["7"]),
        ({"text": "%"}, []),
        ({"below": 0.515}, ["1", "0"]),
        ({"version": "2"}, ["21", "20"]),
        ({"label": "lung"}, []),
        ({"since": MONDAY + WEEK}, ["21", "20"]),
        ({"until": MONDAY}, []),
    ],
)
def test_every_condition_restricts(
    connection: Connection, search: dict[str, Any], ids: list[str]
) -> None:
    assert found(connection, **search) == ids


def test_an_answer_shows_its_newest_label_and_unlabelled_leaves_it_out(
    connection: Connection,
) -> None:
    label(connection, 20, "lung")
    [row] = search_answers(connection, Search("block", text="phrase 20"))
    assert (row.label, row.right) == ("heart", "lung")
    assert found(connection, version="2", unlabelled=True) == ["21"]


def test_quality_is_counted_by_week_and_version_without_load_tests(
    connection: Connection, engine: Engine
) -> None:
    for number, right in enumerate(["heart", "heart", "lung"]):
        label(connection, number, right)
    connection.commit()
    first, second = quality_over_time(engine, classifier="block", now=NOW)
    assert (first.since, first.version) == (MONDAY.replace(hour=0), "1")
    assert (first.answers, first.labelled, first.right, first.sampled) == (10, 3, 2, 0)
    assert first.estimated_accuracy == pytest.approx(0.545)
    assert (first.sampled_accuracy, second.version, second.answers) == (None, "2", 2)
    assert len(quality_over_time(engine, classifier="block", period="month", now=NOW)) == 2
    [later] = quality_over_time(engine, classifier="block", since=MONDAY + WEEK, now=NOW)
    assert later.version == "2"


def test_samples_count_by_how_likely_they_were_drawn(connection: Connection) -> None:
    label(connection, 1, "heart", kind="sample", probability=0.5)
    label(connection, 2, "lung", kind="sample", probability=0.25)
    label(connection, 3, "lung", kind="correction")
    recent = recent_quality(connection, classifier="block", version="1")
    assert recent is not None
    assert (recent.labelled, recent.sampled) == (3, 2)
    assert recent.sampled_accuracy == pytest.approx(2 / 6)
    assert recent.sampled_low is not None and recent.sampled_high is not None
    assert recent.sampled_low < 0.1 and recent.sampled_high > 0.7


def test_a_busy_version_is_estimated_by_its_newest_answers_and_all_its_labels(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        label(connection, number, "lung")
    monkeypatch.setattr(quality, "ESTIMATED", 2)
    recent = recent_quality(connection, classifier="block", version="1")
    assert recent is not None
    assert (recent.answers, recent.labelled) == (2, 3)


def test_a_version_without_answers_has_no_quality(connection: Connection) -> None:
    assert recent_quality(connection, classifier="block", version="9") is None
    assert answers_since(connection, classifier="block", since=MONDAY) == 12
    assert answers_since(connection, classifier="block", since=MONDAY + WEEK) == 2


def test_the_commands_print_what_feedback_import_takes(
    connection: Connection, database: DatabaseUrls, session_settings: Settings, tmp_path: Path
) -> None:
    label(connection, 20, "lung")
    connection.commit()
    environment = clean_environment() | child_settings(session_settings, database)
    environment["PYTHONPATH"] = str(ROOT)

    def perennial(*arguments: str) -> str:
        command = [sys.executable, "-m", "cli.app", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    text = perennial("answers", "block", "--version", "2", "--csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["request_id"], row["label"], row["answer"]) for row in rows] == [
        ("request-21", "", "heart"),
        ("request-20", "lung", "heart"),
    ]
    file = tmp_path / "to_label.csv"
    file.write_text(text.replace("request-20,lung,,", "request-20,lung,ada,"), encoding="utf-8")
    read = [row for row in read_feedback_file(file) if isinstance(row, FeedbackRow)]
    assert [(row.request_id, row.label, row.author) for row in read] == [
        ("request-20", "lung", "ada")
    ]

    weeks = json.loads(perennial("--json", "quality", "block", "--days", "9999"))["quality"]
    assert [(week["version"], week["answers"]) for week in weeks] == [("1", 10), ("2", 2)]
    header = perennial("quality", "block", "--days", "9999").splitlines()[0]
    assert header.split()[:4] == ["week", "version", "answers", "estimate"]


@pytest.mark.parametrize(("few", "walked"), [(100, 100), (0, 1), (0, 3), (2, 2), (0, 100)])
def test_pages_of_any_size_hold_every_matching_answer_once_in_order(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, few: int, walked: int
) -> None:
    """However the rows are read: by an index, or by walking the log back a few at a time."""
    monkeypatch.setattr(answers_module, "FEW", few)
    monkeypatch.setattr(answers_module, "WALKED", walked)
    label(connection, 3, "lung")
    searches: list[dict[str, Any]] = [
        {},
        {"text": "phrase"},
        {"text": "se 2"},
        {"text": "3"},
        {"label": "heart"},
        {"label": "lung", "role": "shadow"},
        {"version": "2"},
        {"region": "north"},
        {"request_id": "request-0"},
        {"unlabelled": True, "below": 0.58},
    ]
    for search in searches:
        whole = search_answers(connection, Search("block", **search, limit=100))
        assert [row.request_id for row in whole] == expected(connection, **search)
        for size in (1, 2, 5):
            assert pages(connection, Search("block", **search, limit=size)) == whole


def pages(connection: Connection, search: Search) -> list[FoundAnswer]:
    found: list[FoundAnswer] = []
    while True:
        page = answer_page(connection, search)
        assert len(page.answers) <= search.limit
        found += page.answers
        if page.older is None:
            return found
        search = replace(search, before=page.older)


def expected(connection: Connection, **search: Any) -> list[str]:
    """Every row of the log, judged one by one."""
    order = (table.c.occurred_at.desc(), table.c.request_id.desc(), table.c.version.desc())
    rows = connection.execute(
        sa.select(table).where(table.c.classifier == "block").order_by(*order)
    )
    return [row.request_id for row in rows if matches(row, **search)]


def matches(row: sa.Row[Any], **search: Any) -> bool:
    wanted = {
        "text": lambda value: value in row.cleaned,
        "below": lambda value: row.probability < value,
        "unlabelled": lambda value: row.request_id != "request-3",
        "role": lambda value: True,
    }
    equal = {name: value for name, value in search.items() if name not in wanted}
    return (
        (row.role == search.get("role", "champion"))
        and all(getattr(row, name) == value for name, value in equal.items())
        and all(rule(search[name]) for name, rule in wanted.items() if name in search)
    )
