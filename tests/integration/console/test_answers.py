"""The answers are searched page by page, opened, computed again and labelled."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from playwright.sync_api import BrowserContext, expect
from sqlalchemy.engine import Engine
from starlette.testclient import TestClient

from core.contracts import Inference, ModelVersion
from core.deployments import append_deployment
from core.tables.console import console_change
from core.tables.loop import feedback
from core.tables.loop import inference as table
from flows.answering import open_version
from flows.context import LoopContext
from tests.support.browsers import needs_chromium
from tests.support.embedders import build_tiny_embedder
from tests.support.heads import EMBEDDER_ID, champion, store_head
from tests.support.inferences import inference

MONDAY = datetime(2026, 1, 5, 12, tzinfo=UTC)
SCRIPT = "<script>document.title = 'stolen'</script>"


def log(engine: Engine, *rows: Inference) -> None:
    values = [{**asdict(row), "flags": list(row.flags)} for row in rows]
    with engine.begin() as connection:
        connection.execute(table.insert(), values)


@pytest.fixture
def logged(engine: Engine) -> Engine:
    """Sixty answers, one of which a shadow scored too."""
    rows = [
        inference(
            number,
            occurred_at=MONDAY + timedelta(minutes=number),
            cleaned=f"dry cough {number}",
            phrase=f"Dry cough {number}",
            label="heart" if number % 2 else "lung",
            region="north" if number < 10 else None,
        )
        for number in range(60)
    ]
    log(engine, *rows, inference(7, role="shadow", version="2", label="lung"))
    return engine


@pytest.fixture
def model(context: LoopContext, engine: Engine) -> ModelVersion:
    """A champion with the labels heart and lung."""
    model = store_head(Path(context.settings.home), "organ", "1")
    with engine.begin() as connection:
        append_deployment(connection, champion(model))
    return model


def ask(console: TestClient, **fields: Any) -> dict[str, Any]:
    answer = console.get("/api/organ/answers", params=fields)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ids(found: dict[str, Any]) -> list[int]:
    return [int(row["request_id"].removeprefix("request-")) for row in found["answers"]]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"text": "ugh DRY 59"}, [59]),
        ({"label": "lung", "limit": 2}, [58, 56]),
        ({"version": "2"}, []),
        ({"role": "shadow"}, [7]),
        ({"region": "north", "limit": 3}, [9, 8, 7]),
        ({"since": "2026-01-05T12:58"}, [59, 58]),
        ({"until": "2026-01-05T12:02:00Z"}, [1, 0]),
        ({"request_id": "request-30"}, [30]),
        ({"text": "", "label": "", "below": "", "since": " ", "limit": 1}, [59]),
    ],
)
def test_the_api_searches_by_every_field(
    console: TestClient, logged: Engine, fields: dict[str, Any], expected: list[int]
) -> None:
    assert ids(ask(console, **fields)) == expected


def test_the_pages_of_the_api_follow_each_other_to_the_end(
    console: TestClient, logged: Engine
) -> None:
    found: list[int] = []
    page = ask(console, limit=25)
    found += ids(page)
    while page["older"]:
        page = ask(console, limit=25, before=page["older"])
        found += ids(page)
    assert found == list(range(59, -1, -1))


BAD_FIELDS: list[dict[str, Any]] = [
    {"below": "2"},
    {"below": "nan"},
    {"since": "yesterday"},
    {"since": "99999-01-01"},
    {"limit": "0"},
    {"limit": str(10**30)},
    {"role": "king"},
    {"before": "!"},
    {"before": "WyIyMDI2LTAxLTAxIiwgIngiXQ=="},
    {"text": "x" * 3000},
    {"label": "a\x00b"},
    {"request_id": "\x00"},
    {"unlabelled": "perhaps"},
]


@pytest.mark.parametrize("fields", BAD_FIELDS)
def test_a_bad_field_is_refused_with_a_sentence(
    console: TestClient, logged: Engine, fields: dict[str, Any]
) -> None:
    page = console.get("/c/organ/answers", params=fields)
    assert page.status_code == 400 and "Back to the overview" in page.text
    assert console.get("/api/organ/answers", params=fields).json()["error"]["message"]


def test_an_unknown_classifier_has_no_answers(console: TestClient) -> None:
    assert console.get("/c/liver/answers").status_code == 404
    assert console.get("/api/liver/answers").status_code == 404


@pytest.mark.parametrize("request_id", ["nowhere", "%00", "a%2Fb", "..%2F..", "x" * 5000])
def test_an_unknown_answer_is_a_page(console: TestClient, logged: Engine, request_id: str) -> None:
    address = f"/c/organ/answers/{request_id}"
    for answer in (
        console.get(address),
        console.get(f"{address}/lineage"),
        console.post(f"{address}/replay"),
        console.post(f"{address}/why"),
        console.post(f"{address}/fix", data={"label": "lung"}),
    ):
        assert answer.status_code in (400, 404)


def test_an_answer_belongs_to_its_classifier_alone(console: TestClient, engine: Engine) -> None:
    log(engine, inference(1, classifier="block"))
    assert console.get("/c/organ/answers/request-1").status_code == 404


def test_the_receipt_shows_the_answer_its_shadow_and_its_labels(
    console: TestClient, logged: Engine
) -> None:
    page = console.get("/c/organ/answers/request-7").text
    assert "Dry cough 7" in page and "as champion" in page and "as shadow" in page
    assert "Nobody has labelled" in page


def test_a_phrase_is_shown_as_text(console: TestClient, engine: Engine) -> None:
    log(engine, inference(1, phrase=SCRIPT, cleaned=SCRIPT, region=SCRIPT))
    for address in ("/c/organ/answers", f"/c/organ/answers?text={SCRIPT}"):
        page = console.get(address).text
        assert SCRIPT not in page and "&lt;script&gt;" in page
    assert SCRIPT not in console.get("/c/organ/answers/request-1").text


def test_a_fix_is_feedback_and_a_recorded_change(
    console: TestClient, logged: Engine, model: ModelVersion
) -> None:
    for label in (" heart ", "lung"):
        page = console.post("/c/organ/answers/request-8/fix", data={"label": label})
        assert page.status_code == 200 and page.url.path == "/c/organ/answers/request-8"
    with logged.connect() as connection:
        rows = connection.execute(sa.select(feedback).order_by(feedback.c.id)).all()
        changes = connection.execute(sa.select(console_change)).all()
    assert [(row.label, row.kind) for row in rows] == [
        ("heart", "correction"),
        ("lung", "confirmation"),
    ]
    assert [(row.before["label"], row.after["label"]) for row in changes] == [
        (None, "heart"),
        ("heart", "lung"),
    ]
    assert ids(ask(console, unlabelled=True, limit=3, until="2026-01-05T12:10")) == [9, 7, 6]


@pytest.mark.parametrize("label", ["liver", "", " ", "x" * 501, "a\x00"])
def test_a_label_that_nobody_knows_is_refused(
    console: TestClient, logged: Engine, model: ModelVersion, label: str
) -> None:
    page = console.post("/c/organ/answers/request-8/fix", data={"label": label})
    assert page.status_code in (400, 422)
    with logged.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(feedback)) == 0
        assert connection.scalar(sa.select(sa.func.count()).select_from(console_change)) == 0


def test_an_answer_is_computed_again_and_explained(
    console: TestClient, context: LoopContext, engine: Engine, model: ModelVersion
) -> None:
    build_tiny_embedder(Path(context.settings.home) / "embedders" / EMBEDDER_ID)
    [answer] = open_version(context.settings, model).predict(["Old cough"])
    log(
        engine,
        inference(
            1,
            phrase="Old cough",
            cleaned="old cough",
            label=answer.label,
            probability=answer.probability,
            alternatives=answer.alternatives,
        ),
    )
    page = console.post("/c/organ/answers/request-1/replay").text
    assert "identical" in page and "replayed" in page
    reasons = console.post("/c/organ/answers/request-1/why").text
    assert f"By its words: {answer.label} with probability {answer.probability:.3f}" in reasons
    for word in ("old", "cough"):
        assert re.search(rf'<span class="(for|against)-[0-3]">{word} <small>[+-]\d', reasons)
    assert "keeps no training phrases" in reasons


@pytest.mark.parametrize("what", ["replay", "why"])
def test_without_the_embedder_of_the_answer_a_page_names_it(
    console: TestClient, engine: Engine, model: ModelVersion, what: str
) -> None:
    log(engine, inference(1))
    page = console.post(f"/c/organ/answers/request-1/{what}")
    assert page.status_code == 409
    assert f"the embedder {EMBEDDER_ID}" in page.text and "reproduce organ" in page.text


def test_a_version_that_mlflow_does_not_know_has_no_lineage(
    console: TestClient, logged: Engine
) -> None:
    page = console.get("/c/organ/answers/request-7/lineage")
    assert page.status_code == 404 and "a version of organ" in page.text


class TestInChromium:
    pytestmark = needs_chromium

    def test_an_answer_is_found_opened_and_fixed(
        self, console_url: str, browser: BrowserContext, logged: Engine, model: ModelVersion
    ) -> None:
        newest = MONDAY + timedelta(days=1)
        log(logged, inference(99, phrase=SCRIPT, cleaned=SCRIPT, occurred_at=newest))
        page = browser.new_page()
        page.goto(f"{console_url}/c/organ/answers")
        expect(page.get_by_role("link", name=SCRIPT)).to_be_visible(timeout=10_000)
        page.get_by_role("link", name="Older answers").click()
        page.get_by_label("Phrase").fill("cough 8")
        page.get_by_label("Phrase").press("Enter")
        page.get_by_role("link", name="Dry cough 8").click()
        page.get_by_role("combobox", name="Right label").fill("heart")
        page.get_by_role("button", name="Store the label").click()
        expect(page.get_by_role("listitem")).to_contain_text("heart")
        assert "stolen" not in page.title()

    def test_what_is_computed_appears_beside_the_answer(
        self,
        context: LoopContext,
        console_url: str,
        browser: BrowserContext,
        engine: Engine,
        model: ModelVersion,
    ) -> None:
        build_tiny_embedder(Path(context.settings.home) / "embedders" / EMBEDDER_ID)
        log(engine, inference(1, phrase="Old cough", cleaned="old cough"))
        page = browser.new_page()
        address = f"{console_url}/c/organ/answers/request-1"
        page.goto(address)
        page.get_by_role("button", name="Replay").click()
        expect(page.get_by_role("region", name="Replay")).to_contain_text("replayed")
        page.get_by_role("button", name="Why this answer").click()
        expect(page.get_by_role("region", name="Why this answer")).to_contain_text("By its words")
        page.get_by_role("link", name="Lineage").click()
        refusal = page.get_by_role("alert")
        expect(refusal).to_contain_text("a version of organ", timeout=60_000)  # MLflow's first
        assert page.url == address
        page.get_by_role("link", name="Pin this phrase").click()
        expect(page.get_by_label("Phrase", exact=True)).to_have_value("Old cough")
