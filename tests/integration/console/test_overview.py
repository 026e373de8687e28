"""The overview: every classifier, and what needs a person."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

import pytest
import sqlalchemy as sa
from playwright.sync_api import BrowserContext, expect
from sqlalchemy.engine import Engine
from starlette.testclient import TestClient

from console.app import create_app
from core.contracts import Deployment, ModelVersion
from core.deployments import append_deployment
from core.tables.loop import inference as table
from flows.context import LoopContext
from tests.integration.console.conftest import NOW
from tests.support.browsers import needs_chromium
from tests.support.inferences import inference


def test_a_classifier_without_a_version_needs_a_person(console: TestClient) -> None:
    page = console.get("/")
    assert page.status_code == 200
    assert "nobody yet" in page.text and "perennial retrain organ" in page.text


def test_every_answer_forbids_scripts_of_others(console: TestClient) -> None:
    for path in ("/", "/nowhere", "/static/console.css"):
        policy = console.get(path).headers["content-security-policy"]
        assert "default-src 'self'" in policy and "unsafe" not in policy


@pytest.mark.parametrize("path", ["/nowhere", "/c/organ/nowhere", "/static/../app.py"])
def test_an_unknown_page_is_a_page(console: TestClient, path: str) -> None:
    page = console.get(path)
    assert page.status_code == 404
    assert "Back to the overview" in page.text


def test_an_absent_database_is_a_page(console: TestClient, context: LoopContext) -> None:
    away = "postgresql+psycopg://nobody@127.0.0.1:1/none"
    broken = LoopContext(context.settings, context.urls, sa.create_engine(away), context.params)
    client = TestClient(create_app(broken), base_url="http://127.0.0.1")
    page = client.get("/")
    assert page.status_code == 503
    assert "The service goes on answering" in page.text


class TestInChromium:
    pytestmark = needs_chromium

    def test_the_overview_is_read_by_role(self, console_url: str, browser: BrowserContext) -> None:
        page = browser.new_page()
        page.goto(console_url)
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        expect(page.get_by_role("rowheader", name="organ")).to_be_visible()


def test_a_champion_with_answers_shows_its_day(console: TestClient, engine: Engine) -> None:
    model = ModelVersion("organ", "3", "/models/3", "sha256:3", "tiny")
    hour = timedelta(hours=1)
    rows = [
        inference(1, version="3", occurred_at=NOW - hour, cached=True),
        inference(2, version="3", occurred_at=NOW - 2 * hour),
        inference(3, version="3", occurred_at=NOW - 2 * hour, role="shadow"),
        inference(4, version="3", occurred_at=NOW - 30 * hour, cached=True),
    ]
    with engine.begin() as connection:
        append_deployment(connection, Deployment(model, "champion", 1.0, NOW - 40 * hour, "test"))
        connection.execute(table.insert(), [asdict(row) for row in rows])
    page = console.get("/").text
    assert "version 3" in page
    assert "2 answers in the last day" in page and "50 %" in page
    assert "1 of 1 answer" in page
    assert "75.0 % estimated" in page


def test_after_a_quiet_day_the_newest_one_with_answers_is_shown(
    console: TestClient, engine: Engine
) -> None:
    """As after the demo, which plays the traffic of earlier days."""
    newest = NOW - timedelta(days=9, hours=2)
    rows = [
        inference(1, occurred_at=newest, cached=True),
        inference(2, occurred_at=newest - timedelta(hours=5)),
        inference(3, occurred_at=newest - timedelta(hours=23)),
        inference(4, occurred_at=newest - timedelta(hours=25)),
        inference(5, occurred_at=newest + timedelta(hours=1), role="shadow"),
    ]
    with engine.begin() as connection:
        connection.execute(table.insert(), [asdict(row) for row in rows])
    page = " ".join(console.get("/").text.split())
    assert "3 answers in the day to 2026-02-20 10:00" in page
    assert '<small class="when">the day to 2026-02-20 10:00</small>' in page
    assert "3 answers in the newest day of each, up to 2026-02-20 10:00" in page
    assert "33 %" in page
    with engine.begin() as connection:
        connection.execute(table.insert(), [asdict(inference(6, occurred_at=NOW))])
    page = console.get("/").text
    assert "1 answer in the last day" in page and "the day to" not in page


def test_a_fault_of_the_console_is_a_page(
    context: LoopContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("boom")

    app = create_app(context, clock=lambda: NOW)
    client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
    monkeypatch.setattr("console.pages.data.render", fail)
    page = client.get("/c/organ/data")
    assert page.status_code == 500
    assert "logs/console.log" in page.text and "boom" not in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]


def test_what_needs_a_person_is_a_link_to_its_page(console: TestClient) -> None:
    page = console.get("/").text
    assert '<a href="/c/organ/versions">organ</a>' in page
    assert 'id="attention"' in page and '<a href="#attention"><strong>People' in page
    assert "<code>perennial retrain organ</code>" in page
