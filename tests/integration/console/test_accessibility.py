"""Every page: no serious finding of axe, no sideways scrolling at 400 pixels, keyboard alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy.engine import Engine

from console.rendering import TABS
from core.contracts import Verdict
from core.decisions import record_decision
from core.deployments import append_deployment
from core.tables.loop import inference as table
from flows.context import LoopContext
from monitoring.labels.pinning import WantedPin, add_pin
from tests.integration.console.conftest import NOW
from tests.support.browsers import chromium, needs_chromium
from tests.support.heads import champion, store_head
from tests.support.inferences import inference

pytestmark = needs_chromium
REQUEST = "0198c1f2-6d0e-7c31-9f3e-2b1f6f0c8a55"
PAGES = (
    "/",
    "/nowhere",
    "/api",
    "/c/organ/review/worth",
    f"/c/organ/answers/{REQUEST[:-2]}00",
    "/c/organ/versions/1",
    "/c/organ/versions/compare?left=1&right=1",
    *(f"/c/organ/{tab}" for tab, _ in TABS),
)
WIDTHS = (400, 1600)
GRAVE = ("serious", "critical")


@pytest.fixture(autouse=True)
def _lived(context: LoopContext, engine: Engine) -> None:
    """A champion with a few answers of the last day, its verdicts, and a pinned phrase."""
    model = store_head(context.settings.home, "organ", "1")
    rows = [
        asdict(inference(number, request_id=f"{REQUEST[:-2]}{number:02}", occurred_at=moment))
        for number, moment in enumerate([NOW - timedelta(hours=hour) for hour in range(1, 9)])
    ]
    with engine.begin() as connection:
        append_deployment(connection, champion(model))
        connection.execute(table.insert(), rows)
        wanted = WantedPin("organ", "Broken heart", "lung", "anna", "ticket 12")
        add_pin(connection, wanted, labels=["lung"], now=NOW)
        for subject, kind in (("gate", "promote"), ("drift", "steady")):
            verdict = Verdict(kind, ("as expected",), {"version": "1"})
            record_decision(
                connection, verdict, classifier="organ", subject=subject, decided_at=NOW
            )


@pytest.fixture(scope="module", params=WIDTHS)
def wide(request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    with chromium(width=request.param) as context:
        yield context


@pytest.fixture
def page(wide: BrowserContext) -> Iterator[Page]:
    page = wide.new_page()
    yield page
    page.close()


@pytest.mark.parametrize("path", PAGES)
def test_every_page_can_be_read_by_everybody(page: Page, console_url: str, path: str) -> None:
    page.goto(console_url + path)
    found = Axe().run(page).response["violations"]
    grave = [
        (finding["id"], [node["html"] for node in finding["nodes"][:3]])
        for finding in found
        if finding["impact"] in GRAVE
    ]
    assert grave == []
    seen, wanted = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert seen <= wanted, "the page scrolls sideways"


@pytest.mark.parametrize("path", PAGES)
def test_no_page_asks_another_host_or_runs_what_its_policy_forbids(
    page: Page, console_url: str, path: str
) -> None:
    asked: list[str] = []
    messages: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: messages.append(message.text))
    page.goto(console_url + path)
    page.wait_for_load_state("networkidle")
    assert [url for url in asked if not url.startswith((console_url, "data:"))] == []
    assert [text for text in messages if "Content Security Policy" in text] == []


def test_the_keyboard_reaches_the_content_first(page: Page, console_url: str) -> None:
    page.goto(console_url)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")
