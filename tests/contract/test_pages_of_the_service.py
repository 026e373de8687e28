"""The pages of the service, and the examples of its OpenAPI document."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator

import msgspec
import pytest
from playwright.sync_api import expect, sync_playwright
from starlette.testclient import TestClient

from bentos.http.app import BYPASSED_PAGES, BYPASSED_PATHS, ClassifierApp
from bentos.http.examples import CLASSIFIER, EXAMPLES
from bentos.http.openapi import OPERATIONS
from bentos.http.pages import OTHER_PATHS
from tests.support.http_servers import served
from tests.support.request_paths import Bench

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture
def app(bench: Bench) -> ClassifierApp:
    """Answers for the classifier of the examples."""
    bench.promote(CLASSIFIER, "1")
    app = ClassifierApp()
    app.state.app_state = bench.parts()
    return app


@pytest.fixture
def client(app: ClassifierApp) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def test_the_first_page_names_every_route(client: TestClient) -> None:
    response = client.get("/")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    named = set(re.findall(r"<code>(/[^<]*)</code>", response.text))
    routes = {operation.path for operation in OPERATIONS} | {path for _, path, _ in OTHER_PATHS}
    assert routes <= named
    assert CLASSIFIER not in response.text, "a stranger without a key reads no name"


def test_every_link_of_the_pages_leads_somewhere_on_this_service(client: TestClient) -> None:
    ours = set()
    for page in ("/", "/docs"):
        response = client.get(page)
        assert "default-src 'self'" in response.headers["content-security-policy"]
        ours |= set(re.findall(r'(?:href|src)="([^"]+)"', response.text)) - {"data:,"}
    assert len(ours) >= 7
    assert {link for link in ours if "//" in link} == set()
    served_by_bentoml = {"livez", "readyz"}
    for link in ours - served_by_bentoml:
        assert client.get(f"/{link}").status_code == 200, link
        assert f"/{link}".startswith(BYPASSED_PATHS) or f"/{link}" in BYPASSED_PAGES


@pytest.mark.parametrize("path", ["/docs/..%2Fswagger-ui.css", "/docs/index.css", "/docs/"])
def test_no_other_file_is_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_a_page_takes_get_only(client: TestClient) -> None:
    response = client.post("/docs")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_the_examples_are_requests_and_answers(client: TestClient, operation) -> None:
    document = client.get("/v1/openapi.json").json()
    described = document["paths"][operation.path][operation.method.lower()]
    content = described["responses"][str(operation.status)]["content"]["application/json"]
    msgspec.convert(content["example"], operation.response)
    body = described.get("requestBody", {"content": {"application/json": {"examples": {}}}})
    requests = body["content"]["application/json"]["examples"]
    assert len(requests) == len(EXAMPLES[operation.name].requests)
    for request in requests.values():
        msgspec.convert(request["value"], operation.request)
        path = operation.path.replace("{classifier}", CLASSIFIER)
        value = {**request["value"], "new_label": True} if operation.name == "feedback" else None
        response = client.post(path, json=value or request["value"])
        assert response.status_code == operation.status, response.text
        assert response.json().keys() == content["example"].keys()


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="NO CHROMIUM INSTALLED")
def test_the_documentation_asks_the_service_and_nobody_else(
    app: ClassifierApp, bench: Bench
) -> None:
    with served(app) as (host, port), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        asked: list[str] = []
        problems: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda line: problems.extend([line.text] * (line.type == "error")))
        page.goto(f"http://{host}:{port}/")
        page.get_by_role("link", name="Try it out").click()
        page.get_by_text("Classify one phrase").click()
        page.get_by_role("button", name="Execute").click()
        answer = page.locator(".live-responses-table")
        expect(answer).to_contain_text('"label"', timeout=20_000)
        browser.close()
    assert [row["phrase"] for row in bench.logged()] == ["fx of left wrist"]
    assert {url.split("/")[2] for url in asked if not url.startswith("data:")} == {f"{host}:{port}"}
    assert problems == []
