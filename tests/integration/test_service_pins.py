"""A pin answers within seconds, outlives versions, restarts and outages, and ends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from core.database import DatabaseUrls
from core.params.schema import Params
from core.pins import Pin
from flows.context import LoopContext
from lineage.replay import logged_rows, replay
from monitoring.labels.pin_list import list_pins
from monitoring.labels.pinning import WantedPin, add_pin, champion_labels, end_pin
from tests.support.embedders import build_tiny_embedder
from tests.support.heads import EMBEDDER_ID
from tests.support.processes import wait_until
from tests.support.services import House

PARAMS = Params.model_validate(
    {"classifiers": {"organ": {"source": {"query": "queries/notes.sql", "label": "organ"}}}}
)
SECONDS = 5
"""The longest that a service may take to follow a pin."""


def ask(client: httpx.Client, phrase: str, **query: str) -> dict[str, Any]:
    response = client.post("/v1/organ/predict", json={"phrase": phrase}, params=query)
    assert response.status_code == 200
    answer: dict[str, Any] = response.json()
    return answer


def pin(house: House, phrase: str, label: str, *, until: datetime | None = None) -> Pin:
    wanted = WantedPin("organ", phrase, label, "anna", "test", until)
    with house.engine.begin() as connection:
        labels = champion_labels(connection, "organ")
        return add_pin(connection, wanted, labels=labels, now=datetime.now(UTC))


def unpin(house: House, phrase: str) -> None:
    with house.engine.begin() as connection:
        end_pin(connection, "organ", phrase, author="ben", why="test", now=datetime.now(UTC))


def other_than(label: str) -> str:
    return "lung" if label == "heart" else "heart"


def until_pinned(house: House, phrase: str, *, pinned: bool = True) -> None:
    with httpx.Client(base_url=house.url, timeout=10) as client:
        wait_until(
            lambda: ask(client, phrase)["pinned"] is pinned,
            seconds=SECONDS,
            what=f"{phrase} answered with pinned {pinned}",
        )


@pytest.fixture
def served(house: House) -> Iterator[House]:
    """The service, answering by version 1, without pins at the end."""
    house.promote("1")
    with httpx.Client(base_url=house.url, timeout=10) as client:
        wait_until(lambda: ask(client, "a")["version"] == "1", seconds=10, what="version 1")
    yield house
    with house.engine.connect() as connection:
        left = list_pins(connection, "organ", now=datetime.now(UTC))
    for each in left:
        unpin(house, each.pin.cleaned)


def test_a_pin_answers_within_five_seconds_and_retires(served: House, client: httpx.Client) -> None:
    phrase = "a phrase to pin"
    before = ask(client, phrase)
    stranger = ask(client, "a phrase beside it")
    label = other_than(before["label"])
    made = pin(served, phrase, label)
    until_pinned(served, phrase)
    after = ask(client, "  A phrase TO pin ")
    assert (after["label"], after["probability"], after["version"]) == (label, 1.0, "1")
    asked = ask(client, phrase, version="1")
    assert (asked["label"], asked["pinned"], asked["role"]) == (before["label"], False, "asked")
    assert ask(client, "a phrase beside it") | {"request_id": ""} == stranger | {
        "request_id": "",
        "cached": True,
    }
    assert 'perennial_pins{classifier="organ"} 1.0' in client.get("/metrics").text

    served.settled_ids()
    rows = {row.request_id: row for row in served.logged()}
    row = rows[after["request_id"]]
    assert (row.label, row.probability) == (before["label"], before["probability"])
    assert (row.pin, row.pinned_label, row.flags) == (made.id, label, ["pinned"])
    own = rows[asked["request_id"]]
    assert (own.label, own.pin, own.pinned_label, own.flags) == (before["label"], None, None, [])
    with served.engine.connect() as connection:
        [listed] = list_pins(connection, "organ", now=datetime.now(UTC))
    assert (listed.pin, listed.answers) == (
        made,
        sum(row.pin == made.id for row in rows.values()),
    )

    unpin(served, phrase)
    until_pinned(served, phrase, pinned=False)
    assert ask(client, phrase)["label"] == before["label"]


def test_a_pin_ends_by_itself(served: House, client: httpx.Client) -> None:
    phrase = "pinned for a moment"
    until = datetime.now(UTC) + timedelta(seconds=4)
    pin(served, phrase, other_than(ask(client, phrase)["label"]), until=until)
    until_pinned(served, phrase)
    wait_until(
        lambda: not ask(client, phrase)["pinned"], seconds=4 + SECONDS, what="the pin is over"
    )
    assert datetime.now(UTC) >= until


def test_a_pin_survives_promotion_and_rollback(served: House, client: httpx.Client) -> None:
    phrase = "pinned across versions"
    answers = {
        version: ask(client, phrase, version=version)["label"] for version in ("1", "2", "3")
    }
    label = other_than(answers["1"])
    pin(served, phrase, label)
    until_pinned(served, phrase)
    for version in ("2", "3", "1"):
        served.promote(version)

        def followed(version: str = version) -> bool:
            answer = ask(client, phrase)
            assert answer["label"] == label, "no moment without the pin"
            return bool(answer["version"] == version)

        wait_until(followed, seconds=SECONDS, what=f"version {version}")
        assert ask(client, phrase)["pinned"] is (answers[version] != label), "or it rests"


def test_a_pin_survives_an_outage_and_a_restart_without_the_database(served: House) -> None:
    phrase = "pinned before the outage"
    with httpx.Client(base_url=served.url, timeout=10) as client:
        label = other_than(ask(client, phrase)["label"])
        pin(served, phrase, label)
        until_pinned(served, phrase)
        served.stop_database()
        try:
            assert ask(client, phrase)["label"] == label
            served.stop_service()
            served.start_service()
            answer = ask(client, phrase)
        finally:
            served.start_database()
        assert (answer["label"], answer["pinned"]) == (label, True), "the first answer of all"
        unpin(served, phrase)
        until_pinned(served, phrase, pinned=False)


def test_a_pin_that_came_while_the_service_was_down_is_in_its_first_answer(
    served: House,
) -> None:
    phrase = "pinned while it was down"
    with httpx.Client(base_url=served.url, timeout=10) as client:
        label = other_than(ask(client, phrase)["label"])
        served.stop_service()
        pin(served, phrase, label)
        served.start_service()
        assert ask(client, phrase)["label"] == label


def test_a_pinned_answer_is_replayed_and_traced(served: House, client: httpx.Client) -> None:
    build_tiny_embedder(served.settings.embedders / EMBEDDER_ID)
    phrase = "pinned and replayed"
    label = other_than(ask(client, phrase)["label"])
    made = pin(served, phrase, label)
    until_pinned(served, phrase)
    answer = ask(client, phrase)
    urls = DatabaseUrls(*[served.database_url] * 3)
    loop = LoopContext(served.settings, urls, served.engine, PARAMS)
    for _ in range(2):  # from the journal or the table, then from the table
        [row] = replay(loop, answer["request_id"])
        assert (row.verdict.kind in ("identical", "equivalent"), row.pin) == (True, made)
        assert row.logged.label == other_than(label), "the version's own answer"
        [logged] = logged_rows(loop, answer["request_id"])
        assert (logged.pin, logged.pinned_label) == (made.id, label)
        served.settled_ids()
