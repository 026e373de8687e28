"""The snapshots of a classifier, what changed between them, and the page of their checks."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.sync_api import BrowserContext, expect
from sqlalchemy.engine import Engine
from starlette.testclient import TestClient

from core.contracts import Snapshot
from core.snapshots import record_snapshot
from core.tables.loop import snapshot as table
from flows.context import LoopContext
from pipelines.checks import Check, write_result
from tests.integration.console.conftest import NOW
from tests.support.browsers import needs_chromium

SCRIPT = "<script>parent.document.title = 'stolen'; document.title = 'run'</script>"


@pytest.fixture
def numbers(engine: Engine) -> list[int]:
    """Two snapshots: the second has another label mix; a third of another data set."""
    with engine.begin() as connection:
        record(connection, "q", {"heart": 80, "lung": 20}, days=-30, tag="retrain-first")
        record(connection, "q", {"heart": 90, SCRIPT: 60}, days=0, tag="retrain-second")
        record(connection, "other", {"heart": 5}, days=0, tag="retrain-other")
        return list(connection.scalars(sa.select(table.c.id).order_by(table.c.id)))


def record(
    connection: sa.Connection, dataset: str, labels: dict[str, int], *, days: int, tag: str
) -> None:
    rows = sum(labels.values())
    as_of = NOW + timedelta(days=days)
    record_snapshot(
        connection,
        Snapshot(dataset, as_of, rows, f"hash of {tag}", "query"),
        git_tag=tag,
        summary={"as_of": as_of.isoformat(), "rows": rows, "labels": {"organ": labels}},
        trained=["organ"],
    )


@pytest.fixture
def checked(context: LoopContext, numbers: list[int]) -> Path:
    """The second snapshot has a page of its checks; it tries to run a script."""
    folder = Path(context.settings.reports) / "checks" / "second"
    folder.mkdir(parents=True)
    write_result(folder, [Check("volume", "q", None, "critical", True, 150, 100)])
    (folder / "report.html").write_text(f"<h1>Every check passed</h1>{SCRIPT}", encoding="utf-8")
    return folder


def test_the_list_shows_the_snapshots_of_the_classifier_newest_first(
    console: TestClient, numbers: list[int], checked: Path
) -> None:
    page = console.get("/c/organ/data").text
    assert page.index("retrain-second") < page.index("retrain-first")
    assert "+50" in page and "pass" in page and "retrain-other" not in page


def test_a_snapshot_shows_what_changed_against_the_one_before(
    console: TestClient, numbers: list[int]
) -> None:
    page = console.get(f"/c/organ/data/{numbers[1]}").text
    for text in ("+50 rows in 30 days", "40.00 % of the label mix moved", "-20.00 points", "lung"):
        assert text in page
    assert SCRIPT not in page and "&lt;script&gt;" in page
    assert "not in this home" in page
    assert "Changed since" not in console.get(f"/c/organ/data/{numbers[0]}").text


def test_the_page_of_the_checks_may_run_nothing(
    console: TestClient, numbers: list[int], checked: Path
) -> None:
    page = console.get(f"/c/organ/data/{numbers[1]}/checks")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'") and "allow-scripts" not in policy
    assert 'sandbox=""' in console.get(f"/c/organ/data/{numbers[1]}").text


@pytest.mark.parametrize(
    "path", ["0", "-1", "x", "999999", str(2**63), str(10**30), "1%2F..", "999999/checks", "%00"]
)
def test_an_unknown_snapshot_is_a_page(console: TestClient, numbers: list[int], path: str) -> None:
    page = console.get(f"/c/organ/data/{path}")
    assert page.status_code in (400, 404) and "Back to the overview" in page.text


def test_no_file_outside_the_reports_is_served(
    console: TestClient, context: LoopContext, engine: Engine
) -> None:
    secret = Path(context.settings.reports) / "report.html"
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.write_text("secret", encoding="utf-8")
    with engine.begin() as connection:
        record(connection, "q", {"heart": 1}, days=1, tag="retrain-..")
        number = connection.scalar(sa.select(sa.func.max(table.c.id)))
    assert console.get(f"/c/organ/data/{number}").status_code == 200
    page = console.get(f"/c/organ/data/{number}/checks")
    assert page.status_code == 404 and "secret" not in page.text


class TestInChromium:
    pytestmark = needs_chromium

    def test_the_checks_are_read_inside_the_page_and_their_script_does_not_run(
        self, console_url: str, browser: BrowserContext, numbers: list[int], checked: Path
    ) -> None:
        page = browser.new_page()
        page.goto(f"{console_url}/c/organ/data/{numbers[1]}")
        frame = page.frame_locator("iframe")
        expect(frame.get_by_role("heading", name="Every check passed")).to_be_visible()
        assert "stolen" not in page.title()
        page.goto(f"{console_url}/c/organ/data/{numbers[1]}/checks")
        assert page.title() != "run"
