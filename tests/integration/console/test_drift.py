"""Drift review: windows along time, one window with its report, and an answer to its end."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy.engine import Engine
from starlette.testclient import TestClient

from console.app import create_app
from core.contracts import Verdict
from core.decisions import record_decision
from core.params.schema import ClassifierParams
from core.tables.console import console_change
from core.tables.drift_reviews import drift_review
from core.tables.loop import drift_report, inference
from core.tables.review import review_item
from flows.context import LoopContext
from monitoring.drift.budget import Budget
from monitoring.drift.history import stored_report
from monitoring.drift.unanswered import open_drift
from monitoring.drift.watching import watch_classifier
from monitoring.review.items import ReviewItem, add_items
from monitoring.review.queue import LEASE, next_item
from monitoring.review.withdrawing import withdraw_faulty
from monitoring.windows.reports import hold_reports
from tests.integration.console.conftest import NOW
from tests.support.browsers import needs_chromium
from tests.support.traffic import START, embed_words, log, promote, store_model, traffic

WAITING = sa.text("select exists (select from pg_locks where not granted)")
WINDOW = 500
DRIFT = {"window_rows": WINDOW, "window_days": 30, "min_labelled_share": 0}
BLOCK = {"source": {"query": "queries/q.sql", "label": "organ"}, "drift": DRIFT}


class Watched:
    """`organ` with version 1 as champion; two fifths of the traffic are of a new topic."""

    def __init__(self, context: LoopContext) -> None:
        self.context = context
        self.next = START + timedelta(days=60)
        self.parts = 0
        model = store_model(
            context.settings.models,
            classifier="organ",
            version="1",
            reference=traffic(days=60, a_day=60, seed=1),
        )
        with context.engine.begin() as connection:
            promote(connection, model)

    def answer(self, *, moved: bool) -> None:
        self.parts += 1
        rows = traffic(days=12, a_day=60, seed=20 + self.parts, start=self.next).head(WINDOW)
        self.next = rows["occurred_at"].iloc[-1] + timedelta(minutes=1)
        if moved:
            rows = _with_new_topic(rows, seed=self.parts)
        with self.context.engine.begin() as connection:
            log(connection, rows, classifier="organ", version="1", prefix=f"w{self.parts}")

    def watch(self) -> Verdict:
        return watch_classifier(
            self.context.engine,
            classifier="organ",
            block=ClassifierParams.model_validate(BLOCK),
            models=self.context.settings.models,
            reports=self.context.settings.reports,
            embed=embed_words,
            now=NOW - timedelta(days=1),
            seed=7,
            false_alarms=Budget(2.0),
        )

    def is_open(self) -> bool:
        with self.context.engine.connect() as connection:
            return open_drift(connection, "organ", now=NOW) is not None


def _with_new_topic(rows: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    moved = random.random(len(rows)) < 0.4
    phrases = [f"odd strange ward{number}" for number in random.integers(0, 6, len(rows))]
    return rows.assign(
        cleaned=np.where(moved, phrases, rows["cleaned"]),
        confidence=np.where(moved, 0.3, rows["confidence"]),
    )


@pytest.fixture
def watched(context: LoopContext, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """A steady window and a drift of two. Pages of Evidently cost seconds: these have one line."""

    def write_line(*_: object, file: Path, **__: object) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("<p>the report</p>", encoding="utf-8")

    monkeypatch.setattr("monitoring.windows.files.write_report", write_line)
    watched = Watched(context)
    watched.answer(moved=False)
    watched.answer(moved=True)
    watched.answer(moved=True)
    assert watched.watch().kind == "drift"
    return watched


def test_an_answer_that_waited_for_a_watch_has_the_moment_after_it(
    context: LoopContext, watched: Watched
) -> None:
    """A memory that is made meanwhile must find the review to be newer than itself."""
    moments = [NOW]
    app = create_app(context, clock=lambda: moments[0])
    client = TestClient(app, base_url="http://127.0.0.1")
    number = seen_number(context.engine)
    with ThreadPoolExecutor(1) as pool, context.engine.begin() as watching:
        hold_reports(watching, "organ")
        sent = pool.submit(
            client.post, f"/c/organ/drift/{number}/review", data={"verdict": "fault"}
        )
        while not watching.scalar(WAITING):
            assert not sent.done()
        moments[0] = NOW + timedelta(minutes=2)
        watching.commit()
        assert sent.result().status_code == 200
    with context.engine.connect() as connection:
        assert connection.scalar(sa.select(drift_review.c.reviewed_at)) == moments[0]


def seen_number(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(sa.select(sa.func.max(drift_report.c.window_number))) or 0)


def test_windows_along_time_have_their_statistics_and_a_chart(
    console: TestClient, watched: Watched
) -> None:
    page = console.get("/c/organ/drift").text
    assert page.count('<polyline class="series') == 6
    assert page.count('<circle class="alarm"') == 2
    for number in (1, 2, 3):
        assert f">window {number}</a>" in page
    assert "no retraining has answered it yet" in page
    windows = console.get("/api/organ/drift").json()["windows"]
    assert [row["verdict"] for row in windows] == ["steady", "warning", "drift"]
    assert len(windows[2]["z"]) == 6 and windows[2]["limit"] == 3.0


def test_one_window_shows_what_moved_and_novel_phrases_in_clusters(
    console: TestClient, watched: Watched
) -> None:
    page = console.get("/c/organ/drift/3").text
    assert "Labels that moved most" in page and "label00" in page
    assert "Phrases that moved most" in page
    assert "answers of 6 phrases" in page, "the six wards are one topic"
    assert "<q>odd strange ward" in page
    assert "novelty mean" in page


@pytest.mark.parametrize(
    ("answers", "shown"), [(90_000, "a sample of 90,000"), (None, "a sample of its answers")]
)
def test_a_window_of_a_busy_day_is_said_to_be_a_sample(
    console: TestClient, watched: Watched, engine: Engine, answers: int | None, shown: str
) -> None:
    pages = ("/c/organ/drift", "/c/organ/drift/3")
    assert not any("a sample of" in console.get(page).text for page in pages)
    newest = drift_report.c.window_number == 3
    with engine.begin() as connection:
        connection.execute(sa.update(drift_report).where(newest).values(answers=answers))
    assert [console.get(page).text.count(shown) for page in pages] == [1, 1]


def test_the_report_has_no_origin_and_lies_below_the_reports(
    console: TestClient, watched: Watched, engine: Engine, tmp_path: Path
) -> None:
    answer = console.get("/c/organ/drift/3/report")
    assert answer.status_code == 200 and "the report" in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none'")
    outside = tmp_path / "secret.html"
    outside.write_text("secret")
    reports = watched.context.settings.reports
    for path in (str(outside), str(reports / "../../secret.html"), str(reports), "", "a\x00.html"):
        assert stored_report(path, reports=reports) is None
    change = sa.update(drift_report).values(report=str(outside))
    with engine.begin() as connection:
        connection.execute(change)
    assert console.get("/c/organ/drift/3/report").status_code == 404
    assert "no longer kept" in console.get("/c/organ/drift/3").text


@pytest.mark.parametrize(
    "path",
    ["/c/organ/drift/9", "/c/organ/drift/9/report", "/c/nobody/drift", "/api/nobody/drift"],
)
def test_a_missing_page_is_reported(console: TestClient, path: str) -> None:
    assert console.get(path).status_code == 404


@pytest.mark.parametrize("number", ["0", "-1", "x", "99999999999999999999", "1.5", "%00"])
def test_bad_numbers_are_never_a_failure_of_the_server(console: TestClient, number: str) -> None:
    for path in (f"/c/organ/drift/{number}", f"/c/organ/drift/{number}/report"):
        assert 400 <= console.get(path).status_code < 500
    answer = console.post(f"/c/organ/drift/{number}/review", data={"verdict": "real"})
    assert 400 <= answer.status_code < 500


def test_bad_answers_are_refused_and_stored_nowhere(
    console: TestClient, watched: Watched, engine: Engine
) -> None:
    bad: list[dict[str, str]] = [
        {},
        {"verdict": "nonsense"},
        {"verdict": "real", "action": "nonsense"},
        {"verdict": "harmless", "note": "x" * 2001},
        {"verdict": "harmless", "note": "a\x00b"},
    ]
    for data in bad:
        answer = console.post("/c/organ/drift/3/review", data=data)
        assert answer.status_code == 422, data
    assert console.post("/c/organ/drift/3/review", content=b"\xff\xfe{").status_code == 422
    assert 400 <= console.get("/c/organ/drift/3?outcome=nonsense").status_code < 500
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(drift_review)) == 0


def test_without_prefect_a_real_drift_waits_for_the_next_watch(
    console: TestClient, watched: Watched, engine: Engine
) -> None:
    page = console.post(
        "/c/organ/drift/2/review",
        data={"verdict": "real", "action": "retrain", "note": "<script>x</script>"},
    )
    assert page.url.path == "/c/organ/drift/2"
    assert "the next watch starts the retraining" in page.text
    assert "&lt;script&gt;x" in page.text
    assert watched.is_open()
    with engine.connect() as connection:
        change = connection.execute(sa.select(console_change)).one()
    assert (change.what, change.subject) == ("review drift", "organ window 2")
    assert (change.before, change.after["verdict"]) == ({}, "real")
    shares = console.get("/c/organ/drift").text
    assert "100 %" in shares, "of one reviewed alarm"


def test_two_people_who_call_a_window_real_mean_one_retraining(
    console: TestClient, watched: Watched, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect starts one run per key; tests/integration/test_prefect.py asks a real one."""
    keys: list[str] = []

    def start(*_: object, key: str) -> str:
        keys.append(key)
        return "http://127.0.0.1/runs/1"

    monkeypatch.setattr("console.pages.drift.start_retraining", start)

    def post(window: int) -> None:
        data = {"verdict": "real", "action": "retrain"}
        page = console.post(f"/c/organ/drift/{window}/review", data=data)
        assert page.status_code == 200 and "outcome=started" in str(page.url)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(post, [2, 2]))
    post(2)
    assert len(keys) == 3 and len(set(keys)) == 1
    post(3)
    assert len(set(keys)) == 2, "another window is another reason"
    with engine.begin() as connection:
        failed = Verdict("failed", ("the disk was full",))
        record_decision(
            connection, failed, classifier="organ", subject="retraining", decided_at=NOW
        )
    post(2)
    assert len(set(keys)) == 3, "the retraining that failed has answered the calls before it"


def test_a_fault_withdraws_the_items_of_its_answers(
    console: TestClient, watched: Watched, context: LoopContext, engine: Engine
) -> None:
    """Random ones too: nothing learns from them. What somebody looks at stays."""
    with engine.begin() as connection:
        edges = sa.select(drift_report.c.first_sequence, drift_report.c.last_sequence)
        faulty = connection.execute(edges.where(drift_report.c.window_number == 3)).one()
        log_rows = sa.select(inference).order_by(inference.c.sequence)
        inside = inference.c.sequence.between(*faulty)
        chosen = [
            *_first_of_each_phrase(connection.execute(log_rows.where(inside)), 3),
            *_first_of_each_phrase(connection.execute(log_rows.where(~inside)), 2),
        ]
        items = [
            ReviewItem.of_answer(
                row, strategy="low_confidence", score=-number, probability=probability
            )
            for number, (row, probability) in enumerate(
                zip(chosen, (None, 0.01, None, None, 0.01), strict=True)
            )
        ]
        assert add_items(connection, items, now=NOW, double_share=0) == 5
        held = next_item(connection, "organ", person="ada", now=NOW)
        assert held is not None and held.request_id == chosen[0].request_id
    console.post("/c/organ/drift/3/review", data={"verdict": "fault"})
    with engine.connect() as connection:
        query = sa.select(review_item.c.request_id, review_item.c.state)
        states = {request: state for request, state in connection.execute(query)}
    assert [states[row.request_id] for row in chosen] == [
        "open",
        "withdrawn",
        "withdrawn",
        "open",
        "open",
    ]
    with engine.begin() as connection:
        later = NOW + LEASE
        assert withdraw_faulty(connection, "organ", now=later) == 1, "when nobody looks any more"


def _first_of_each_phrase(rows: Iterable[sa.Row], count: int) -> list[sa.Row]:
    first: dict[str, sa.Row] = {}
    for row in rows:
        first.setdefault(row.cleaned, row)
    return list(first.values())[:count]


def grave_findings(page: Page) -> list[str]:
    found = Axe().run(page, options={"iframes": False}).response["violations"]
    return [finding["id"] for finding in found if finding["impact"] in ("serious", "critical")]


class TestInChromium:
    pytestmark = needs_chromium

    def test_a_review_from_the_chart_to_the_next_verdict(
        self, console_url: str, browser: BrowserContext, context: LoopContext
    ) -> None:
        watched = Watched(context)
        watched.answer(moved=True)
        watched.answer(moved=True)
        assert watched.watch().kind == "drift"
        page = browser.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{console_url}/c/organ/drift")
        expect(page.locator("figure.drift canvas")).to_be_visible()
        assert grave_findings(page) == []
        page.get_by_role("link", name="window 2").click()
        expect(page.get_by_role("heading", name="Window 2 of organ: drift")).to_be_visible()
        assert grave_findings(page) == []
        page.set_viewport_size({"width": 400, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        page.get_by_role("radio", name="Expected").check()
        page.get_by_role("textbox", name="Note").fill("the new ward opened")
        page.get_by_role("button", name="Save the answer").click()
        expect(page.get_by_role("status")).to_contain_text("The answer is saved")
        expect(page.get_by_role("listitem").filter(has_text="the new ward opened")).to_be_visible()
        assert not watched.is_open()

        watched.answer(moved=True)
        assert watched.watch().kind == "steady"
        page.goto(f"{console_url}/c/organ/drift/3")
        expect(page.get_by_role("heading", name="Window 3 of organ: steady")).to_be_visible()
        expect(page.get_by_text("like window 2")).to_be_visible()
        page.locator("iframe").scroll_into_view_if_needed()  # it is loaded when it is seen
        report = page.frame_locator("iframe")
        expect(report.get_by_role("heading", name="organ 1 window 3: steady")).to_be_visible()
        assert errors == []
        page.close()
