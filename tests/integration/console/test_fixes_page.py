"""What became of each fix, on a page."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from playwright.sync_api import BrowserContext, expect
from sqlalchemy.engine import Engine
from starlette.testclient import TestClient

from console.access.people import local_person
from core.contracts import Deployment, ModelVersion, Snapshot, Verdict
from core.decisions import record_decision
from core.deployments import append_deployment
from core.feedback import record_feedback
from core.memory_revisions import MemoryRevision, append_revision
from core.params.schema import SourceParams
from core.snapshots import record_snapshot
from core.tables.loop import feedback
from core.tables.loop import inference as table
from tests.integration.console.conftest import NOW
from tests.support.browsers import needs_chromium
from tests.support.inferences import inference

SCRIPT = "<script>alert(1)</script>"
ASKED = NOW - timedelta(days=9)
LEARNT = NOW - timedelta(days=5)


def answer(engine: Engine, number: int, *, at: datetime, **changes: Any) -> None:
    row = inference(number, occurred_at=at, phrase=SCRIPT, cleaned="worn cog", **changes)
    with engine.begin() as connection:
        connection.execute(table.insert(), asdict(row))


@pytest.fixture
def fixed(engine: Engine) -> None:
    """One phrase is fixed by the person of the page; later three answers say so."""
    answer(engine, 1, at=ASKED)
    with engine.begin() as connection:
        record_feedback(
            connection,
            request_id="request-1",
            label="lung",
            author=local_person().name,
            received_at=ASKED + timedelta(hours=1),
        )
    for number in (2, 3, 4):
        answer(engine, number, at=NOW - timedelta(days=1), label="lung")


@pytest.fixture
def learnt(engine: Engine, fixed: None) -> None:
    """A retraining took the fix: revision 1, a snapshot, and version 2, which answers."""
    dataset = SourceParams.model_validate({"query": "queries/q.sql", "label": "organ"}).dataset
    summary = {"labels": {"organ": {}}, "rows": 9, "as_of": LEARNT.isoformat()}
    model = ModelVersion("organ", "2", "nowhere", "sha256:0", "use")
    with engine.begin() as connection:
        newest = connection.scalar(sa.select(sa.func.max(feedback.c.id)))
        record_snapshot(
            connection,
            Snapshot(dataset, LEARNT, 9, "hash", "hash"),
            git_tag="retrain-77",
            summary=summary,
            trained=["organ"],
        )
        append_revision(
            connection,
            MemoryRevision(
                "organ", 1, LEARNT, LEARNT, "sha256:1", "nowhere", "s", newest, newest, 1, 1,
                True, "test",
            ),
        )  # fmt: skip
        record_decision(
            connection,
            Verdict("promote", (f"better by {SCRIPT}",), {"version": "2"}),
            classifier="organ",
            subject="gate",
            decided_at=LEARNT,
        )
        append_deployment(connection, Deployment(model, "champion", 1.0, LEARNT, "test"))


@pytest.mark.usefixtures("fixed")
def test_a_fresh_fix_has_not_become_anything_yet(console: TestClient) -> None:
    page = console.get("/c/organ/fixes")
    assert page.status_code == 200
    assert page.text.count("not yet") == 3
    assert SCRIPT not in page.text and "&lt;script&gt;" in page.text


@pytest.mark.usefixtures("learnt")
def test_a_page_says_what_learnt_the_fix_and_what_the_gate_said(console: TestClient) -> None:
    page = console.get("/c/organ/fixes").text
    assert "revision 1" in page and "retrain-77" in page
    assert '<a href="/c/organ/versions/2">version 2</a>: promote' in page
    assert '<a href="/c/organ/answers/request-1">' in page
    assert console.get("/c/organ/answers/request-1").status_code == 200
    assert "version 2 answers with it since" in page
    assert "not yet" not in page and SCRIPT not in page


@pytest.mark.usefixtures("learnt")
def test_a_person_is_thanked_by_a_number(console: TestClient) -> None:
    own = " ".join(console.get("/c/organ/fixes", params={"by": local_person().name}).text.split())
    assert "Your 1 fix changed 3 answers." in own
    other = console.get("/c/organ/fixes?by=grace").text
    assert "No fixes by grace yet." in other and "Thank you" not in other


@pytest.mark.usefixtures("fixed")
def test_older_fixes_are_a_page_further(
    console: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.pages.fixes.SHOWN", 1)
    first = console.get("/c/organ/fixes").text
    assert "Older fixes" in first
    newest = first.split("before=")[1].split('"')[0]
    assert "No fixes yet." in " ".join(console.get(f"/c/organ/fixes?before={newest}").text.split())


@pytest.mark.parametrize(
    "query", ["before=x", "before=-1", f"before={2**70}", f"by={'x' * 300}", "before=%00"]
)
def test_a_bad_query_is_400(console: TestClient, query: str) -> None:
    assert console.get(f"/c/organ/fixes?{query}").status_code == 400


@pytest.mark.parametrize("by", ["%00", "%ff%fe", "a%00b", "'; drop table fix", "%F0%9F%99%82", "%"])
def test_any_author_is_only_a_name(console: TestClient, by: str) -> None:
    assert console.get(f"/c/organ/fixes?by={by}").status_code == 200


def test_an_unknown_classifier_is_404(console: TestClient) -> None:
    assert console.get("/c/nowhere/fixes").status_code == 404


@pytest.mark.usefixtures("learnt")
class TestInChromium:
    pytestmark = needs_chromium

    def test_a_person_finds_their_own_fixes(
        self, console_url: str, browser: BrowserContext
    ) -> None:
        page = browser.new_page()
        page.goto(f"{console_url}/c/organ/performance")
        page.get_by_role("link", name="Fixes").click()
        page.get_by_role("link", name="Your own").click()
        expect(page.get_by_text("Your 1 fix changed 3 answers.")).to_be_visible()
        expect(page.get_by_role("rowheader", name=SCRIPT)).to_be_visible()
