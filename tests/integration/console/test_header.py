"""The header of every page: one classifier to the next, on the same tab."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import BrowserContext, expect
from starlette.testclient import TestClient

from console.app import create_app
from core.params.schema import Params
from flows.context import LoopContext
from tests.integration.console.conftest import NOW, PARAMS
from tests.support.browsers import needs_chromium
from tests.support.http_servers import served


@pytest.fixture
def three(context: LoopContext) -> LoopContext:
    block = PARAMS["classifiers"]["organ"]
    params = Params.model_validate({"classifiers": dict.fromkeys(("bone", "organ", "skin"), block)})
    return replace(context, params=params)


@pytest.mark.parametrize(
    ("path", "tab"),
    [
        ("answers", "answers"),
        ("answers?text=cough", "answers"),
        ("performance?by=region", "performance"),
        ("answers/nowhere", "answers"),
    ],
)
def test_the_others_are_one_step_away_on_the_same_tab(
    three: LoopContext, path: str, tab: str
) -> None:
    client = TestClient(create_app(three, clock=lambda: NOW), base_url="http://127.0.0.1")
    page = client.get(f"/c/organ/{path}").text
    if path.endswith("nowhere"):
        assert "That did not work" in page, "a failure names no classifier"
        return
    for other in ("bone", "skin"):
        assert f'<a href="/c/{other}/{tab}">{other}</a>' in page
    assert f'<li><a href="/c/organ/{tab}">' not in page


def test_a_single_classifier_has_none_to_switch_to(console: TestClient) -> None:
    page = console.get("/c/organ/answers").text
    assert "<strong>organ</strong>" in page and "<summary" not in page.partition("<main")[0]


class TestInChromium:
    pytestmark = needs_chromium

    def test_it_works_by_keyboard_and_without_scripts(
        self, three: LoopContext, browser: BrowserContext
    ) -> None:
        with served(create_app(three, clock=lambda: NOW)) as (host, port):
            page = browser.new_page()
            page.route("**/*.js", lambda route: route.abort())
            page.goto(f"http://{host}:{port}/c/organ/data")
            page.locator("summary", has_text="organ").focus()
            page.keyboard.press("Enter")
            page.get_by_role("link", name="skin").press("Enter")
            expect(page).to_have_url(f"http://{host}:{port}/c/skin/data")
            tab = page.get_by_role("link", name="Data", exact=True)
            expect(tab).to_have_attribute("aria-current", "page")
