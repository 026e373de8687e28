"""The console's OpenAPI document, the page that tries its routes, requests made from it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect
from sqlalchemy.engine import Engine
from starlette.testclient import TestClient

from core.deployments import append_deployment
from flows.context import LoopContext
from tests.support.browsers import needs_chromium
from tests.support.heads import champion, store_head

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
ROUTES = {
    ("post", "/api/feedback"),
    ("get", "/api/{classifier}/review/next"),
    ("get", "/api/{classifier}/performance"),
    ("get", "/api/{classifier}/answers"),
}


@pytest.fixture
def document(console: TestClient) -> dict[str, Any]:
    described: dict[str, Any] = console.get("/api/openapi.json").json()
    return described


def test_the_document_holds_every_route_for_programs_and_no_page(document: dict[str, Any]) -> None:
    operations = {(method, path) for path, found in document["paths"].items() for method in found}
    assert operations >= ROUTES
    assert {path for _, path in operations if not path.startswith("/api/")} == set()
    assert ("get", "/api/openapi.json") not in operations


def test_a_refusal_has_the_body_that_the_document_announces(
    console: TestClient, document: dict[str, Any]
) -> None:
    answers = document["paths"]["/api/{classifier}/answers"]["get"]["responses"]
    schema = answers["4XX"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/Refused"}
    refused = console.get("/api/organ/answers", params={"limit": 0})
    assert refused.status_code == 400
    [(name, error)] = refused.json().items()
    assert name == "error" and set(error) == {"code", "message"}


@pytest.mark.parametrize("name", ["../index.css", "favicon.png", "swagger-ui-bundle.js.map"])
def test_no_other_file_of_the_package_is_served(console: TestClient, name: str) -> None:
    assert console.get(f"/api/swagger/{name}").status_code in (400, 404)


def test_requests_made_from_the_document_meet_no_fault(
    context: LoopContext, engine: Engine, console_url: str, tmp_path: Path
) -> None:
    with engine.begin() as connection:
        model = store_head(context.settings.home, "organ", "1")
        append_deployment(connection, champion(model))
    options = ("--checks", "not_a_server_error,response_schema_conformance", "--no-color")
    argv = [str(SCHEMATHESIS), "run", f"{console_url}/api/openapi.json", *options]
    argv += ["--seed", "1", "--max-examples", "15", "--phases", "examples,coverage,fuzzing"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


class TestInChromium:
    pytestmark = needs_chromium

    def test_a_route_is_tried_out(self, browser: BrowserContext, console_url: str) -> None:
        page = browser.new_page()
        forbidden: list[str] = []
        page.on("console", lambda line: forbidden.append(line.text))
        page.goto(f"{console_url}/api")
        page.get_by_role("button", name="GET /api/{classifier}/answers", exact=False).first.click()
        page.get_by_placeholder("classifier").fill("organ")
        page.get_by_role("button", name="Execute").click()
        answer = page.locator(".responses-table.live-responses-table")
        expect(answer).to_contain_text('"older": null')
        assert [text for text in forbidden if "Content Security Policy" in text] == []
