"""Pins on a real PostgreSQL: added, ended, refused, listed; which feedback counts beside them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from core.database import DatabaseUrls
from core.deployments import append_deployment
from core.errors import InvalidPhrase, PerennialError, UnknownVersion
from core.feedback import record_feedback
from core.pins import Pin, find_pin, newest_pin_row, read_pins
from core.settings import REPOSITORY, Settings
from core.tables.loop import feedback, inference
from core.tables.pins import answered_label, pin
from machine.environment import child_settings
from machine.user import system_user
from monitoring.answers import Search, search_answers
from monitoring.drift.corrections import count_corrections
from monitoring.drift.labelled import phrases_with_feedback
from monitoring.labels import pinning
from monitoring.labels.feedback import feedback_rows
from monitoring.labels.pin_list import list_pins
from monitoring.labels.pinning import (
    ConflictingPin,
    PinRefused,
    TooManyPins,
    UnknownLabel,
    UnknownPin,
    WantedPin,
    add_pin,
    champion_labels,
    end_pin,
)
from monitoring.labels.received import received_labels
from monitoring.labels.unselected import unselected_requests
from monitoring.performance.quality import quality_over_time, recent_quality
from monitoring.standing import _labels_wait
from tests.support.heads import champion, store_head
from tests.support.inferences import inference as logged_row
from tests.support.performances import performance_by_version
from tests.support.places import clean_environment
from tests.support.traffic import log, traffic

NOW = datetime(2026, 2, 1, 12, tzinfo=UTC)
LABELS = frozenset({"heart", "lung", "liver"})


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        yield connection


def wanted(phrase: str = "Broken  Heart", label: str = "heart", **changes: Any) -> WantedPin:
    values = {"classifier": "organ", "author": "anna", "why": "ticket 12", **changes}
    return WantedPin(phrase=phrase, label=label, **values)


def add(connection: Connection, *arguments: str, now: datetime = NOW, **changes: Any) -> Pin:
    return add_pin(connection, wanted(*arguments, **changes), labels=LABELS, now=now)


def end(connection: Connection, phrase: str, *, now: datetime = NOW, **changes: str) -> Pin:
    texts = {"author": "ben", "why": "version 4 knows it", **changes}
    return end_pin(connection, "organ", phrase, now=now, **texts)


def answering(connection: Connection, *, now: datetime = NOW) -> dict[str, str]:
    return {each.cleaned: each.label for each in read_pins(connection, now=now).pins}


class TestAddingAndEnding:
    def test_a_pin_is_of_the_cleaned_phrase_and_knows_who_when_and_why(
        self, connection: Connection
    ) -> None:
        made = add(connection)
        [read] = read_pins(connection, now=NOW).pins
        assert read == made == find_pin(connection, made.id)
        assert (made.cleaned, made.label, made.author, made.why, made.since, made.until) == (
            "broken heart",
            "heart",
            "anna",
            "ticket 12",
            NOW,
            None,
        )

    def test_the_table_only_grows(self, connection: Connection) -> None:
        first = add(connection)
        seen = [newest_pin_row(connection)]
        assert end(connection, "broken HEART") == first
        seen.append(newest_pin_row(connection))
        again = add(connection, "broken heart", "lung", now=NOW + timedelta(hours=1))
        seen.append(newest_pin_row(connection))
        assert seen == sorted(set(seen))
        assert connection.scalar(sa.select(sa.func.count()).select_from(pin)) == 3
        assert answering(connection) == {"broken heart": "lung"}
        assert find_pin(connection, first.id) == first, "replay of old rows still finds it"
        assert again.id > first.id

    def test_a_pin_ends_by_itself(self, connection: Connection) -> None:
        until = NOW + timedelta(days=1)
        add(connection, until=until)
        assert answering(connection, now=until - timedelta(seconds=1)) != {}
        assert answering(connection, now=until) == {}
        add(connection, "broken heart", "lung", now=until)
        assert answering(connection, now=until) == {"broken heart": "lung"}

    def test_pins_are_read_by_classifier(self, connection: Connection) -> None:
        add(connection)
        add(connection, classifier="other")
        assert len(read_pins(connection, now=NOW).pins) == 2
        [own] = read_pins(connection, now=NOW, classifier="other").pins
        assert own.classifier == "other"

    def test_the_same_pin_again_is_no_second_one(self, connection: Connection) -> None:
        assert add(connection) == add(connection, author="ben", why="me too")
        assert newest_pin_row(connection) == add(connection).id


class TestRefusals:
    def test_a_conflicting_pin_is_refused_and_names_the_one_that_is_there(
        self, connection: Connection
    ) -> None:
        add(connection)
        with pytest.raises(ConflictingPin, match=r"lung, beside heart by anna"):
            add(connection, "broken heart", "lung")
        with pytest.raises(ConflictingPin):
            add(connection, until=NOW + timedelta(days=1))
        assert answering(connection) == {"broken heart": "heart"}

    def test_a_label_that_the_champion_lacks_is_refused(self, connection: Connection) -> None:
        with pytest.raises(UnknownLabel, match="'spleen'"):
            add(connection, "broken heart", "spleen")

    def test_more_pins_than_the_limit_are_refused(
        self, connection: Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pinning, "MAX_PINS", 2)
        add(connection, "a")
        add(connection, "b")
        with pytest.raises(TooManyPins):
            add(connection, "c")
        add(connection, "c", classifier="other")
        end(connection, "a")
        add(connection, "c")

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"phrase": " \u200b "}, InvalidPhrase),
            ({"phrase": "x" * 2001}, InvalidPhrase),
            ({"phrase": "a\0b"}, InvalidPhrase),
            ({"phrase": "caf\udce9"}, InvalidPhrase),
            ({"why": " "}, PinRefused),
            ({"why": "x" * 501}, PinRefused),
            ({"why": "a\0b"}, PinRefused),
            ({"author": "\udce9"}, PinRefused),
            ({"label": ""}, PinRefused),
            ({"until": NOW}, PinRefused),
            ({"until": datetime(9999, 12, 31, 23, tzinfo=UTC)}, PinRefused),
        ],
    )
    def test_what_cannot_be_a_pin_is_refused_by_name(
        self, connection: Connection, changes: dict[str, Any], error: type[PerennialError]
    ) -> None:
        with pytest.raises(error):
            add(connection, **changes)
        assert newest_pin_row(connection) == 0

    def test_ending_a_phrase_without_a_pin_is_refused(self, connection: Connection) -> None:
        with pytest.raises(UnknownPin, match="'broken heart'"):
            end(connection, "Broken Heart")
        add(connection)
        with pytest.raises(PinRefused):
            end(connection, "broken heart", why="")
        end(connection, "broken heart")
        with pytest.raises(UnknownPin):
            end(connection, "broken heart")

    def test_the_labels_are_those_of_the_champion(
        self, connection: Connection, tmp_path: Path
    ) -> None:
        with pytest.raises(UnknownVersion, match="perennial retrain organ"):
            champion_labels(connection, "organ")
        append_deployment(connection, champion(store_head(tmp_path, "organ", "1")))
        assert champion_labels(connection, "organ") == {"heart", "lung"}

    def test_of_two_people_at_once_one_wins(self, engine: Engine) -> None:
        outcomes: list[str] = []
        barrier = threading.Barrier(6)

        def pin_it(label: str) -> None:
            barrier.wait()
            try:
                with engine.begin() as connection:
                    outcomes.append(add(connection, "broken heart", label).label)
            except ConflictingPin:
                outcomes.append("refused")

        threads = [threading.Thread(target=partial(pin_it, label)) for label in [*LABELS] * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        with engine.connect() as connection:
            [(_, winner)] = answering(connection).items()
        assert sorted(outcomes) == sorted([winner, winner, *["refused"] * 4])


class TestTheList:
    def test_it_shows_who_when_why_until_when_and_how_often(self, connection: Connection) -> None:
        first = add(connection, "a")
        over = add(connection, "b", until=NOW + timedelta(hours=1))
        ended = add(connection, "c", "lung")
        end(connection, "c", now=NOW + timedelta(minutes=5))
        for number in range(3):
            insert_answer(connection, number, first)
        insert_answer(connection, 4, ended)
        for number, label in ((0, "lung"), (1, "heart"), (2, " heart ")):
            record_feedback(
                connection,
                request_id=f"request-{number}",
                label=label,
                author="desk",
                received_at=NOW,
            )
        later = NOW + timedelta(hours=2)
        [only] = list_pins(connection, "organ", now=later)
        assert (only.pin, only.state, only.answers, only.contradicted) == (first, "answers", 3, 1)
        assert only.last_answer == NOW + timedelta(seconds=2)
        listed = list_pins(connection, "organ", now=later, past=True)
        assert [(each.pin.id, each.state, each.answers) for each in listed] == [
            (ended.id, "ended", 1),
            (over.id, "over", 0),
            (first.id, "answers", 3),
        ]
        assert (listed[0].ended_by, listed[0].ended_why) == ("ben", "version 4 knows it")
        assert listed[1].ended_at == over.until
        assert list_pins(connection, "other", now=later, past=True) == []

    def test_a_long_past_is_read_in_part(
        self, connection: Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Pins that answer are listed however old they are."""
        monkeypatch.setattr("monitoring.labels.pin_list.PAST_ROWS", 3)
        first = add(connection, "a")
        for phrase in ("b", "c", "d"):
            add(connection, phrase)
            end(connection, phrase)
        listed = list_pins(connection, "organ", now=NOW + timedelta(hours=1), past=True)
        assert [each.pin.cleaned for each in listed] == ["d", "a"]
        assert listed[-1].pin == first

    def test_what_answers_is_what_the_list_calls_answering(self, connection: Connection) -> None:
        for number in range(12):
            moment = NOW + timedelta(minutes=number)
            phrase = "abc"[number % 3]
            if answering(connection, now=moment).get(phrase):
                end(connection, phrase, now=moment)
            until = moment + timedelta(minutes=4) if number % 2 else None
            add(connection, phrase, ("heart", "lung")[number % 2], now=moment, until=until)
        for minute in range(16):
            moment = NOW + timedelta(minutes=minute)
            if minute >= 11:  # all rows were there
                listed = list_pins(connection, "organ", now=moment)
                assert {each.pin for each in listed} == set(read_pins(connection, now=moment).pins)


def insert_answer(connection: Connection, number: int, by: Pin | None = None) -> None:
    row = logged_row(
        number,
        occurred_at=NOW + timedelta(seconds=number),
        label="lung",
        pin=by.id if by else None,
        pinned_label=by.label if by else None,
        flags=("pinned",) if by else (),
    )
    values = {name: getattr(row, name) for name in row.__dataclass_fields__}
    connection.execute(inference.insert().values(**{**values, "flags": list(row.flags)}))


class TestFeedbackOnPinnedAnswers:
    """Ten answers of version 1 were pinned to label03: only labels that contradict that count."""

    @pytest.fixture
    def connection(self, engine: Engine) -> Iterator[Connection]:
        rows = traffic(days=1, a_day=30, seed=1).head(10).assign(label="label01")
        with engine.connect() as connection:
            log(connection, rows, classifier="topic", version="1")
            connection.execute(
                inference.update().values(pin=1, pinned_label="label03", flags=["pinned"])
            )
            log(
                connection, rows.assign(label="label05"), classifier="topic", version="2",
                role="shadow",
            )  # fmt: skip
            yield connection

    def label(self, connection: Connection, *labels: str, **options: Any) -> None:
        for number, label in enumerate(labels):
            record_feedback(
                connection,
                request_id=f"r-{number:06}",
                label=label,
                author="desk",
                received_at=NOW,
                **options,
            )

    def test_the_client_got_the_label_of_the_pin(self, connection: Connection) -> None:
        shown = sa.select(answered_label()).where(inference.c.role == "champion")
        assert set(connection.scalars(shown)) == {"label03"}

    def test_a_search_finds_and_shows_what_the_client_got(self, connection: Connection) -> None:
        found = search_answers(connection, Search("topic", label="label03"))
        assert {(row.label, row.pinned) for row in found} == {("label03", True)}
        assert len(found) == 10
        assert search_answers(connection, Search("topic", label="label01")) == []

    def test_performance_is_that_of_the_version(
        self, connection: Connection, engine: Engine
    ) -> None:
        self.label(connection, "label03", "label01", "label05", "label03 ")
        connection.commit()
        found = performance_by_version(engine, "topic")["1"]
        assert (found.answers, found.labelled, found.right) == (10, 2, 1)

    def test_performance_of_the_shadow_leaves_them_out_as_well(
        self, connection: Connection, engine: Engine
    ) -> None:
        self.label(connection, "label03", "label01", "label05")
        connection.commit()
        found = performance_by_version(engine, "topic")["2 (shadow)"]
        assert (found.labelled, found.right) == (2, 1)

    def test_quality_counts_those_that_contradict(
        self, connection: Connection, engine: Engine
    ) -> None:
        self.label(connection, "label03", "label01", "label05", kind="sample", probability=0.5)
        connection.commit()
        [week] = quality_over_time(engine, classifier="topic", now=NOW)
        assert (week.answers, week.labelled, week.right, week.sampled) == (10, 2, 1, 2)
        recent = recent_quality(connection, classifier="topic", version="1")
        assert recent is not None
        assert (recent.labelled, recent.right, recent.sampled) == (2, 1, 2)

    def test_unselected_labels_and_corrections_leave_out_echoes(
        self, connection: Connection
    ) -> None:
        self.label(connection, "label03", "label01", "label05", kind="sample", probability=0.5)
        assert unselected_requests(connection, "topic") == {"r-000001", "r-000002"}

    def test_corrections_are_counted_against_the_version(self, connection: Connection) -> None:
        self.label(connection, "label03", "label01", "label05", kind="correction")
        assert count_corrections(connection, "topic", now=NOW).now == 1

    def test_an_echo_neither_trains_nor_enters_the_memory(self, connection: Connection) -> None:
        self.label(connection, "label03", "label05")
        [row] = feedback_rows(
            connection, label_columns={"topic": "block"}, received_by=NOW
        ).to_pylist()
        assert (row["id"], row["block"]) == ("r-000001", "label05")
        labels = received_labels(connection, classifier="topic", received_by=NOW)
        assert labels[["request_id", "label", "head_label"]].to_numpy().tolist() == [
            ["r-000001", "label05", "label01"]
        ]
        cleaned = connection.scalar(
            sa.select(inference.c.cleaned).where(inference.c.request_id == "r-000001")
        )
        assert phrases_with_feedback(connection, "topic", after=0) == {cleaned}
        assert _labels_wait(connection, "topic", "1") == ["1 label came since its training"]

    def test_every_label_is_kept(self, connection: Connection) -> None:
        self.label(connection, "label03", "label05")
        assert connection.scalar(sa.select(sa.func.count()).select_from(feedback)) == 2

    def test_an_example_counts(self, connection: Connection) -> None:
        connection.execute(
            feedback.insert().values(
                received_at=NOW,
                request_id="example-1",
                classifier="topic",
                label="label03",
                author="desk",
                kind="example",
                phrase="A",
                cleaned="a",
                occurred_at=NOW,
            )
        )
        labels = received_labels(connection, classifier="topic", received_by=NOW)
        assert labels["request_id"].tolist() == ["example-1"]
        [row] = feedback_rows(
            connection, label_columns={"topic": "block"}, received_by=NOW
        ).to_pylist()
        assert row["block"] == "label03"


def test_the_command_adds_lists_and_removes(
    connection: Connection, database: DatabaseUrls, session_settings: Settings, tmp_path: Path
) -> None:
    model = store_head(tmp_path, "block", "1", labels=("S60-S69", "S50-S59"))
    append_deployment(connection, champion(model))
    connection.commit()
    environment = clean_environment() | child_settings(session_settings, database)
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)

    def perennial(*arguments: str, code: int = 0) -> dict[str, Any]:
        command = [sys.executable, "-m", "cli.app", "pins", *arguments, "--json"]
        done = subprocess.run(
            command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == code, done.stderr
        text = done.stderr.splitlines()[-1] if code else done.stdout
        printed: dict[str, Any] = json.loads(text)
        return printed

    made = perennial("add", "block", "FX of left wrist", "S60-S69", "--why", "ticket 12")["pin"]
    assert (made["cleaned"], made["author"]) == ("fx of left wrist", system_user())
    [listed] = perennial("list", "block")["pins"]
    assert (listed["pin"], listed["state"]) == (made, "answers")
    refused = perennial("add", "block", "fx of left wrist", "S50-S59", "--why", "x", code=2)
    assert refused["error"]["code"] == "conflicting_pin"
    ended = perennial("remove", "block", "fx of left wrist", "--why", "learnt")["ended"]
    assert ended == made
    assert perennial("list", "block") == {"pins": []}
    [past] = perennial("list", "block", "--past")["pins"]
    assert (past["state"], past["ended_why"]) == ("ended", "learnt")
