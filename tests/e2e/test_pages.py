"""The pages in a real Chromium. Set PERENNIAL_UPDATE_IMAGES=1 to refresh docs/images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import BrowserContext

from tests.support.browsers import chromium, needs_chromium
from tests.support.installations import Place
from tests.support.repositories import ROOT

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    with chromium() as context:
        yield context


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return (
        ROOT / "docs" / "images"
        if os.environ.get("PERENNIAL_UPDATE_IMAGES")
        else tmp_path_factory.mktemp("images")
    )


def test_the_prefect_run_page_shows_the_named_tasks(
    place: Place, played: dict, browser: BrowserContext, images: Path
) -> None:
    wanted = {
        "flows": {"name": {"any_": ["retrain"]}},
        "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
        "sort": "START_TIME_DESC",
        "limit": 1,
    }
    run = httpx.post(
        f"{place.url('prefect')}/api/flow_runs/filter", json=wanted, trust_env=False
    ).json()[0]
    page = browser.new_page()
    page.goto(f"{place.url('prefect')}/runs/flow-run/{run['id']}")
    for task in ("take snapshot", "check snapshot", "train classifiers", "register candidate"):
        page.get_by_text(task).first.wait_for(timeout=60_000)
    page.screenshot(path=images / "prefect-run.png")


def test_the_drift_report_is_readable_offline(
    place: Place, played: dict, browser: BrowserContext, images: Path
) -> None:
    newest = max(
        Path(place.environment["PERENNIAL_HOME"]).joinpath("reports").glob("drift/**/*.html"),
        key=lambda path: path.stat().st_mtime,
    )
    asked: list[str] = []
    page = browser.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.goto(newest.as_uri())
    page.get_by_text("confidence").first.wait_for(timeout=60_000)
    page.screenshot(path=images / "drift-report.png")
    assert [url for url in asked if url.startswith("http")] == []


def test_the_evidently_ui_lists_the_classifier(
    place: Place, played: dict, browser: BrowserContext
) -> None:
    page = browser.new_page()
    page.goto(place.url("evidently"))
    page.get_by_text("block").first.wait_for(timeout=60_000)
    assert page.title()
