"""Pins in the console: the list, the form, the API, and what is refused."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from playwright.sync_api import BrowserContext, expect
from starlette.testclient import TestClient

from console.access.people import local_person
from core.deployments import append_deployment
from core.pins import read_pins
from core.tables.console import console_change
from flows.context import LoopContext
from tests.integration.console.conftest import NOW
from tests.support.browsers import needs_chromium
from tests.support.heads import champion, store_head

FORM = {"phrase": "Broken  Heart", "label": "heart", "why": "ticket 12"}
PAGE = "/c/organ/pins"
API = "/api/organ/pins"
STRANGE = [
    "\0",
    " ",
    "\u202e\u200b",
    "x" * 2001,
    "<script>alert(1)</script>" * 100,
    "'; drop table pin; --" * 30,
]


@pytest.fixture(autouse=True)
def answering(context: LoopContext) -> None:
    """Version 1 of `organ` answers with heart and lung."""
    with context.engine.begin() as connection:
        append_deployment(connection, champion(store_head(context.settings.home, "organ", "1")))


def pinned(context: LoopContext) -> dict[str, str]:
    with context.engine.connect() as connection:
        return {pin.cleaned: pin.label for pin in read_pins(connection, now=NOW).pins}


def changes(context: LoopContext) -> list[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    columns = (console_change.c.what, console_change.c.person, *_sides())
    with context.engine.connect() as connection:
        query = sa.select(*columns).order_by(console_change.c.id)
        return [tuple(row) for row in connection.execute(query)]


def _sides() -> tuple[sa.ColumnElement[Any], ...]:
    return console_change.c.before, console_change.c.after


def test_a_pin_is_added_listed_and_ended(console: TestClient, context: LoopContext) -> None:
    assert "No phrase is pinned" in console.get(PAGE).text
    added = console.post(PAGE, data={**FORM, "until": "2026-04-01T08:30"})
    assert (added.status_code, added.url.path) == (200, PAGE), "back on the list"
    assert pinned(context) == {"broken heart": "heart"}
    person = local_person().name
    for text in ("broken heart", "ticket 12", person, "2026-04-01 08:30", "2026-03-01 12:00"):
        assert text in added.text
    ended = console.post(f"{PAGE}/end", data={"phrase": "broken heart", "why": "learnt"})
    assert "No phrase is pinned" in ended.text
    assert pinned(context) == {}
    past = console.get(f"{PAGE}?past=true").text
    assert f"ended by {person}: learnt" in past
    [first, second] = changes(context)
    assert [first[0], second[0]] == ["pin", "unpin"]
    assert {first[1], second[1]} == {person}
    assert (first[2], first[3]["label"], second[2]["label"]) == ({}, "heart", "heart")


def test_an_answer_fills_the_form(console: TestClient, context: LoopContext) -> None:
    page = console.get(PAGE, params={"phrase": 'Broken "heart"', "label": "lung"}).text
    assert 'value="Broken &#34;heart&#34;"' in page and 'value="lung"' in page
    assert console.get(PAGE, params={"phrase": "x" * 10_001}).status_code == 400
    assert pinned(context) == {}


def test_the_api_does_the_same(console: TestClient, context: LoopContext) -> None:
    made = console.post(API, json={**FORM, "until": "2026-04-01T08:30:00Z"})
    assert (made.status_code, made.json()["cleaned"]) == (201, "broken heart")
    [listed] = console.get(API).json()["pins"]
    assert listed["pin"] == made.json()
    assert (listed["state"], listed["answers"], listed["last_answer"]) == ("answers", 0, None)
    conflict = console.post(API, json={**FORM, "label": "lung"})
    assert (conflict.status_code, conflict.json()["error"]["code"]) == (409, "conflicting_pin")
    ended = console.post(f"{API}/end", json={"phrase": "broken heart", "why": "learnt"})
    assert (ended.status_code, ended.json()) == (200, made.json())
    again = console.post(f"{API}/end", json={"phrase": "broken heart", "why": "learnt"})
    assert (again.status_code, again.json()["error"]["code"]) == (404, "unknown_pin")
    assert console.get(API).json() == {"pins": []}
    [past] = console.get(f"{API}?past=true").json()["pins"]
    assert (past["state"], past["ended_why"]) == ("ended", "learnt")


@pytest.mark.parametrize("field", sorted(FORM))
@pytest.mark.parametrize("value", STRANGE)
def test_bad_input_is_never_a_failure_of_the_console(
    console: TestClient, context: LoopContext, field: str, value: str
) -> None:
    for response in (
        console.post(PAGE, data={**FORM, field: value}),
        console.post(API, json={**FORM, field: value}),
        console.post(f"{PAGE}/end", data={"phrase": "a", "why": "b", field: value}),
        console.post(f"{API}/end", json={"phrase": "a", "why": "b", field: value}),
    ):
        assert 200 <= response.status_code < 500
        is_json = response.headers["content-type"] == "application/json"
        assert is_json or "<script>alert" not in response.text
    assert console.get(PAGE).status_code == 200


@pytest.mark.parametrize(
    "until", ["yesterday", "2026-02-01T00:00", "9999-12-31T23:59:59-14:00", "2026-13-01", "-1"]
)
def test_an_impossible_end_is_refused(
    console: TestClient, context: LoopContext, until: str
) -> None:
    assert console.post(PAGE, data={**FORM, "until": until}).status_code == 400
    assert 400 <= console.post(API, json={**FORM, "until": until}).status_code < 500
    assert pinned(context) == {}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (API, b""),
        (API, b"{"),
        (API, b"[]"),
        (API, b'{"phrase": 1}'),
        (API, b'{"phrase": "a", "label": "heart", "why": "b", "more": 1}'),
        (API, b'{"phrase": "\\ud800", "label": "heart", "why": "b"}'),
        (API, b'{"phrase": "a", "label": "\\ud800", "why": "b"}'),
        (API, b'{"phrase": "a", "label": "heart", "why": "\\ud800"}'),
        (API, b"\xff\xfe"),
        (f"{API}/end", b'{"phrase": "\\ud800", "why": "b"}'),
        ("/api/nowhere/pins", b'{"phrase": "a", "label": "heart", "why": "b"}'),
        (PAGE, b"phrase=a"),
        (PAGE, b"%ff%fe=%00"),
    ],
)
def test_a_broken_body_is_refused(
    console: TestClient, context: LoopContext, path: str, body: bytes
) -> None:
    response = console.post(path, content=body, headers={"content-type": content_type(path)})
    assert 400 <= response.status_code < 500
    assert pinned(context) == {}


def content_type(path: str) -> str:
    json = path.startswith("/api")
    return "application/json" if json else "application/x-www-form-urlencoded"


@pytest.mark.parametrize("query", ["past=perhaps", "past=", "past=true&past=%ff"])
def test_a_strange_query_is_no_failure(console: TestClient, query: str) -> None:
    for path in (PAGE, API):
        assert console.get(f"{path}?{query}").status_code < 500


def test_a_phrase_is_shown_as_text(console: TestClient, context: LoopContext) -> None:
    script = "<script>alert(1)</script>"
    page = console.post(PAGE, data={**FORM, "phrase": script, "why": script})
    assert page.status_code == 200
    assert script not in page.text and "&lt;script&gt;" in page.text


def test_without_a_champion_nothing_can_be_pinned(
    console: TestClient, context: LoopContext
) -> None:
    with context.engine.begin() as connection:
        connection.execute(sa.text("delete from deployment"))
    assert "nothing to pin" in console.get(PAGE).text
    refused = console.post(API, json=FORM)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "unknown_version")


def test_another_site_cannot_pin(console: TestClient, context: LoopContext) -> None:
    foreign = {"origin": "https://elsewhere.example"}
    responses: list[httpx.Response] = [
        console.post(PAGE, data=FORM, headers=foreign),
        console.post(API, json=FORM, headers=foreign),
    ]
    assert [response.status_code for response in responses] == [403, 403]
    assert pinned(context) == {}


class TestInChromium:
    pytestmark = needs_chromium

    def test_a_person_pins_and_ends(
        self, console_url: str, browser: BrowserContext, context: LoopContext
    ) -> None:
        page = browser.new_page()
        page.goto(f"{console_url}{PAGE}")
        page.get_by_label("Phrase").fill("Broken Heart")
        page.get_by_label("Label", exact=True).fill("heart")
        page.get_by_label("Why", exact=True).fill("ticket 12")
        page.get_by_role("button", name="Pin", exact=True).click()
        expect(page.get_by_role("rowheader", name="broken heart")).to_be_visible()
        assert pinned(context) == {"broken heart": "heart"}
        page.get_by_label("Why the pin of broken heart ends").fill("learnt")
        page.get_by_role("button", name="End the pin of broken heart").click()
        expect(page.get_by_text("No phrase is pinned")).to_be_visible()
        assert pinned(context) == {}

    def test_the_list_fits_a_phone(self, console_url: str, browser: BrowserContext) -> None:
        page = browser.new_page()
        page.set_viewport_size({"width": 400, "height": 800})
        page.goto(f"{console_url}{PAGE}")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 400
