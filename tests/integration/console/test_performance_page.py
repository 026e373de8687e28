"""The performance of a classifier: its page, and the same as JSON and CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from datetime import timedelta

import pytest
from playwright.sync_api import BrowserContext, expect
from sqlalchemy.engine import Engine
from starlette.testclient import TestClient

from core.feedback import record_feedback
from core.tables.loop import inference as table
from tests.integration.console.conftest import NOW
from tests.support.browsers import needs_chromium
from tests.support.inferences import inference

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def answers(engine: Engine) -> None:
    """120 answers of four weeks; 40 were drawn at random, and 36 of these are right."""
    rows = [
        asdict(
            inference(
                number,
                occurred_at=NOW - timedelta(days=number % 28),
                region=SCRIPT if number % 2 else None,
                label="lung" if number % 3 else "heart",
            )
        )
        for number in range(120)
    ]
    with engine.begin() as connection:
        connection.execute(table.insert(), rows)
        for number in range(40):
            right = "lung" if number % 3 else "heart"
            record_feedback(
                connection,
                request_id=f"request-{number}",
                label="skin" if number < 4 else right,
                author="ada",
                received_at=NOW,
                kind="sample",
                probability=0.25,
            )


@pytest.mark.usefixtures("answers")
def test_the_page_says_how_good_the_answers_were(console: TestClient) -> None:
    page = console.get("/c/organ/performance")
    assert page.status_code == 200
    assert "Accuracy 0.900 (0." in page.text and "40 labels of a random sample" in page.text
    for name in ("week", "version", "region", "label"):
        assert f'<h2 id="by-{name}">' in page.text
    assert '<th scope="col" class="number">Answers</th>' in page.text
    assert "None of these</th>" not in page.text, "a column without a value"
    assert SCRIPT not in page.text and "&lt;script&gt;" in page.text


@pytest.mark.usefixtures("answers")
def test_a_period_restricts_the_page(console: TestClient) -> None:
    page = console.get("/c/organ/performance?from=2026-02-27&to=2026-03-02")
    assert page.status_code == 200
    assert "of 15 answers" in page.text


@pytest.mark.usefixtures("answers")
def test_programs_read_every_grouping(console: TestClient) -> None:
    for by, groups in (("week", 4), ("day", 28), ("version", 1), ("region", 2), ("label", 3)):
        report = console.get("/api/organ/performance", params={"by": by}).json()
        assert (report["by"], report["counted"], len(report["performance"])) == (by, True, groups)
        assert sum(row["answers"] for row in report["performance"]) == 120
    [version] = console.get("/api/organ/performance?by=version").json()["performance"]
    assert (version["version"], version["basis"], version["sampled"]) == ("1", "sample", 40)
    assert version["accuracy_low"] < version["accuracy"] == 0.9 < version["accuracy_high"]


@pytest.mark.usefixtures("answers")
def test_the_csv_has_the_records_of_the_json(console: TestClient) -> None:
    expected = console.get("/api/organ/performance?by=label").json()["performance"]
    answer = console.get("/api/organ/performance?by=label&format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["label"] for row in rows] == [row["label"] for row in expected]
    assert [int(row["answers"]) for row in rows] == [row["answers"] for row in expected]
    assert list(rows[0]) == list(expected[0])


def test_no_answers_are_no_failure(console: TestClient) -> None:
    assert "No answers in this period." in console.get("/c/organ/performance").text
    assert console.get("/api/organ/performance").json()["performance"] == []
    assert console.get("/api/organ/performance?format=csv").text == ""


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("from=yesterday", "2026-01-31"),
        ("from=0001-01-01", "2026-01-31"),
        ("to=2026-13-01", "2026-01-31"),
        ("to=%00", "2026-01-31"),
        ("from=2026-03-01&to=2026-03-01", "earlier `from`"),
    ],
)
def test_a_bad_period_is_400_and_says_what_is_wanted(
    console: TestClient, query: str, wanted: str
) -> None:
    for path in ("/c/organ/performance", "/api/organ/performance"):
        answer = console.get(f"{path}?{query}")
        assert answer.status_code == 400
        assert wanted in answer.text


@pytest.mark.parametrize("query", ["by=weather", "by=", "format=xml", "by=label&format=%3Cb%3E"])
def test_a_bad_grouping_or_format_is_400(console: TestClient, query: str) -> None:
    answer = console.get(f"/api/organ/performance?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "period_invalid"


def test_an_unknown_classifier_is_404(console: TestClient) -> None:
    assert console.get("/c/nowhere/performance").status_code == 404
    assert console.get("/api/nowhere/performance").json()["error"]["code"] == "unknown_classifier"


@pytest.mark.usefixtures("answers")
class TestInChromium:
    pytestmark = needs_chromium

    def test_the_picture_is_drawn_and_the_tables_stand(
        self, console_url: str, browser: BrowserContext
    ) -> None:
        page = browser.new_page()
        problems: list[str] = []
        page.on("console", lambda line: problems.append(line.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{console_url}/c/organ/performance")
        expect(page.locator("#over-time canvas")).to_be_visible()
        expect(page.get_by_role("heading", name="By label")).to_be_visible()
        expect(page.get_by_role("rowheader", name=SCRIPT)).to_be_visible()
        page.get_by_label("From").fill("2026-02-20")
        page.get_by_role("button", name="Show").click()
        expect(page).to_have_url(f"{console_url}/c/organ/performance?from=2026-02-20&to=2026-03-02")
        assert problems == []
