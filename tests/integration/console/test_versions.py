"""Every version with the gate's evidence; who answers is decided with a reason, by name."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from playwright.sync_api import BrowserContext, expect
from sqlalchemy.engine import Engine
from starlette.testclient import TestClient

from core.contracts import Snapshot, Verdict
from core.decisions import record_decision
from core.deployments import append_deployment
from core.snapshots import record_snapshot
from core.tables.console import console_change
from core.tables.loop import decision
from flows.context import LoopContext
from monitoring.versions import roles_now
from pipelines.cards.card import Card, Section, Table, plain
from pipelines.cards.files import card_folder, save_cards
from pipelines.errors.files import write_report
from tests.integration.console.conftest import NOW
from tests.support.browsers import needs_chromium
from tests.support.error_reports import answered, report_of
from tests.support.heads import champion, store_head

SCRIPT = "<script>alert(1)</script>"
EVIDENCE = {
    "reason": "drift",
    "rows": 600,
    "candidate_weighted_f1": 0.91,
    "champion_weighted_f1": 0.9,
    "champion_version": "1",
    "gain": 0.0123,
    "gain_lower_bound": 0.001,
    "allowed_drop": 0.005,
    "accuracy_by_slice": {
        "rare phrases": {"rows": 70, "candidate": 0.8125, "champion": 0.75},
    },
    "flips_share": 0.0456,
    "flips": ["heart -> lung: 4.56 %"],
    "visible_harm": "falls of recall by 20 points in lung would be proved. Smaller falls would not",
}


@pytest.fixture
def organ(context: LoopContext, engine: Engine) -> LoopContext:
    """Versions 1, the champion, 2, held by the gate, and 3, rejected by it."""
    home = Path(context.settings.home)
    first = store_head(home, "organ", "1")
    for version, f1 in (("2", 0.75), ("3", 0.5)):
        store_head(home, "organ", version)
        evaluation = {
            "metrics": {"weighted_f1": f1, "accuracy": f1, "macro_f1": f1, "rows": 600},
            "labels": {"heart": {"f1": f1}, "lung": {"f1": 0.5}},
        }
        file = home / "models" / "organ" / version / "evaluation.json"
        file.write_text(json.dumps(evaluation), encoding="utf-8")
    with engine.begin() as connection:
        append_deployment(connection, champion(first))
        judge(connection, "2", "hold", f"5 % of the answers would change {SCRIPT}")
        judge(connection, "3", "reject", "recall of lung drops")
        snapshot = Snapshot("q", NOW, 1234, "hash", "query")
        summary = {"as_of": NOW.isoformat(), "rows": 1234, "labels": {"organ": {"heart": 1234}}}
        record_snapshot(
            connection, snapshot, git_tag="retrain-run-2", summary=summary, trained=["organ"]
        )
    return context


def judge(connection: sa.Connection, version: str, kind: str, reason: str) -> None:
    record_decision(
        connection,
        Verdict(kind, (reason,), {**EVIDENCE, "version": version}),
        classifier="organ",
        subject="gate",
        decided_at=NOW - timedelta(hours=1),
        run=f"run-{version}",
    )


def playing(engine: Engine) -> dict[str, str]:
    with engine.connect() as connection:
        return roles_now(connection, "organ")


def test_the_list_shows_every_version_with_verdict_role_and_scores(
    console: TestClient, organ: LoopContext
) -> None:
    page = console.get("/c/organ/versions").text
    for text in ("champion", "hold", "rejected", "0.9100", "+0.0123", "4.56 %", "drift"):
        assert text in page
    assert page.index("versions/3") < page.index("versions/2") < page.index("versions/1")


def test_a_version_shows_gains_flips_harm_that_could_not_be_seen_snapshot_and_links(
    console: TestClient, organ: LoopContext
) -> None:
    page = console.get("/c/organ/versions/2").text
    for text in (
        "waits for a person",
        "rare phrases",
        "+0.0625",
        "heart → lung: 4.56 %",
        "Harm that could not be seen",
        "Smaller falls would not",
        "0.7500",
        "/#/models/organ/versions/2",
        "/artifacts/key/verdict-organ",
        'href="/c/organ/data/',
    ):
        assert text in page
    assert SCRIPT not in page and "&lt;script&gt;" in page
    assert "The gate has no verdict" in console.get("/c/organ/versions/1").text


def test_two_versions_stand_side_by_side(console: TestClient, organ: LoopContext) -> None:
    page = console.get("/c/organ/versions/compare", params={"left": "2", "right": "3"}).text
    assert "Version 2" in page and "Version 3" in page
    assert "0.7500" in page and "0.5000" in page and "Labels that differ most" in page
    one_unjudged = console.get("/c/organ/versions/compare", params={"left": "1", "right": "3"})
    assert one_unjudged.status_code == 200


def error_report(organ: LoopContext, version: str) -> None:
    """The report of 40 labels, in the model store."""
    rows = answered([(f"phrase {n}", f"label {n:02}", "label 00") for n in range(40)])
    write_report(Path(organ.settings.models) / "organ" / version / "errors", report_of(rows))


def test_the_error_report_stands_in_a_frame_without_an_origin(
    console: TestClient, organ: LoopContext
) -> None:
    error_report(organ, "2")
    page = console.get("/c/organ/versions/2").text
    assert '<iframe title="Error report of version 2" sandbox="allow-scripts"' in page
    report = console.get("/c/organ/versions/2/errors")
    policy = report.headers["content-security-policy"]
    assert "sandbox allow-scripts" in policy and "default-src 'none'" in policy
    assert "allow-same-origin" not in policy
    assert "Errors of organ" in report.text
    assert "<iframe" not in console.get("/c/organ/versions/3").text
    missing = console.get("/c/organ/versions/3/errors")
    assert missing.status_code == 404 and "no error report" in missing.text
    assert console.get("/c/organ/versions/..%2F2/errors").status_code == 404


BAD_ADDRESSES = [
    "/c/organ/versions/9",
    "/c/organ/versions/..%2F1",
    "/c/organ/versions/%00",
    "/c/organ/versions/compare",
    "/c/organ/versions/compare?left=1&right=x",
    "/c/organ/versions/compare?left=%00&right=1",
    "/c/liver/versions",
]


@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_an_unknown_version_is_a_page(
    console: TestClient, organ: LoopContext, address: str
) -> None:
    page = console.get(address)
    assert page.status_code in (400, 404) and "Back to the overview" in page.text


BAD_CHANGES: list[tuple[str, dict[str, str], int]] = [
    ("2/promote", {}, 400),
    ("2/promote", {"why": " "}, 400),
    ("2/promote", {"why": "x" * 1001}, 400),
    ("2/promote", {"why": "a\x00"}, 400),
    ("9/promote", {"why": "try"}, 404),
    ("..%2F1/promote", {"why": "try"}, 404),
    ("3/promote", {"why": "try"}, 400),
    ("3/canary", {"why": "try", "percent": "10"}, 400),
    ("2/canary", {"why": "try"}, 400),
    ("2/canary", {"why": "try", "percent": "0"}, 400),
    ("2/canary", {"why": "try", "percent": "101"}, 400),
    ("2/canary", {"why": "try", "percent": "nan"}, 400),
    ("1/shadow", {"why": "try"}, 404),
    ("1/reject", {"why": "try"}, 404),
    ("2/reject", {"why": ""}, 400),
    ("roll-back", {"why": "try"}, 404),
    ("end/champion", {"why": "try"}, 400),
]


@pytest.mark.parametrize(("path", "fields", "status"), BAD_CHANGES)
def test_a_change_that_cannot_be_is_refused_and_changes_nothing(
    console: TestClient,
    organ: LoopContext,
    engine: Engine,
    path: str,
    fields: dict[str, str],
    status: int,
) -> None:
    page = console.post(f"/c/organ/versions/{path}", data=fields)
    assert page.status_code == status, page.text
    assert playing(engine) == {"champion": "1"}
    assert changes(engine) == []


def changes(engine: Engine) -> list[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    table = console_change.c
    columns = (table.what, table.subject, table.before, table.after)
    with engine.connect() as connection:
        rows = connection.execute(sa.select(*columns).order_by(table.id))
        return [tuple(row) for row in rows]


def test_every_change_is_made_and_recorded_with_who_why_and_what_was_before(
    console: TestClient, organ: LoopContext, engine: Engine
) -> None:
    """With the real MLflow: aliases are repaired after each change of the champion."""

    def change(path: str, **fields: str) -> dict[str, str]:
        page = console.post(f"/c/organ/versions/{path}", data={"why": f"because {path}", **fields})
        assert page.status_code == 200, page.text
        assert page.url.path == "/c/organ/versions"
        return playing(engine)

    assert change("2/canary", percent="12.5") == {"champion": "1", "canary": "2"}
    assert change("3/shadow") == {"champion": "1", "canary": "2", "shadow": "3"}
    assert change("end/shadow") == {"champion": "1", "canary": "2"}
    assert change("2/promote") == {"champion": "2"}
    assert change("roll-back") == {"champion": "1"}
    assert change("2/reject") == {"champion": "1"}
    refused = console.post("/c/organ/versions/2/promote", data={"why": "again"})
    assert refused.status_code == 400 and "because 2/reject" in refused.text
    assert change("2/promote", force="true") == {"champion": "2"}

    recorded = changes(engine)
    assert [what for what, *_ in recorded] == [
        "canary 12.5 %",
        "shadow",
        "end shadow",
        "promote",
        "roll back",
        "reject",
        "promote",
    ]
    _, subject, before, after = recorded[3]
    assert subject == "organ 2" and before == {"champion": "1", "canary": "2"}
    assert after == {"champion": "2", "why": "because 2/promote"}
    with engine.connect() as connection:
        query = sa.select(decision.c.evidence["by"].astext).where(decision.c.subject == "rollout")
        assert None not in connection.scalars(query).all()
    assert "because 2/canary" in console.get("/c/organ/versions/2").text


def test_a_version_of_another_embedder_is_left_to_the_command_that_packs_a_bento(
    console: TestClient, organ: LoopContext, engine: Engine
) -> None:
    store_head(Path(organ.settings.home), "organ", "4", embedder_id="other-1")
    page = console.post("/c/organ/versions/4/promote", data={"why": "new embedder"})
    assert page.status_code == 409 and "perennial rollout promote organ 4" in page.text
    assert playing(engine) == {"champion": "1"}


def test_a_page_of_another_site_changes_nothing(
    console: TestClient, organ: LoopContext, engine: Engine
) -> None:
    page = console.post(
        "/c/organ/versions/2/promote",
        data={"why": "stolen"},
        headers={"origin": "http://evil.example"},
    )
    assert page.status_code == 403
    assert playing(engine) == {"champion": "1"}


class TestInChromium:
    pytestmark = needs_chromium

    def test_an_operator_tries_promotes_and_returns(
        self, console_url: str, browser: BrowserContext, organ: LoopContext, engine: Engine
    ) -> None:
        page = browser.new_page()
        page.goto(f"{console_url}/c/organ/versions")
        page.get_by_role("link", name="2", exact=True).click()
        page.get_by_label("Reason").fill("try it")
        page.get_by_role("button", name="Start shadow").click()
        expect(page.get_by_role("button", name="End the shadow")).to_be_visible()
        page.get_by_role("link", name="2", exact=True).click()
        page.get_by_label("Reason").fill("looked at each")
        page.get_by_role("button", name="Promote").click(timeout=120_000)
        expect(page.get_by_label("Reason to return")).to_be_visible(timeout=120_000)
        assert playing(engine) == {"champion": "2"}
        page.get_by_label("Reason to return").fill("wrong for lungs")
        page.get_by_role("button", name="Roll back").click(timeout=120_000)
        expect(page.get_by_text("No version has answered before version 1")).to_be_visible(
            timeout=120_000
        )
        assert playing(engine) == {"champion": "1"}


def test_without_a_version_the_page_says_how_to_make_one(console: TestClient) -> None:
    page = console.get("/c/organ/versions")
    assert page.status_code == 200
    assert "No version yet" in page.text and "Roll back" not in page.text

    def test_labels_are_found_and_sorted_in_the_frame_and_nothing_else_is_fetched(
        self, console_url: str, browser: BrowserContext, organ: LoopContext
    ) -> None:
        error_report(organ, "2")
        page = browser.new_page()
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text))
        page.goto(f"{console_url}/c/organ/versions/2")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.get_by_title("Error report of version 2").scroll_into_view_if_needed()
        frame = page.frame_locator("iframe")
        rows = frame.locator("#all tbody tr:visible")
        expect(rows).to_have_count(40)
        frame.get_by_label("Find").fill("label 07")
        expect(rows).to_have_count(1)
        expect(frame.get_by_role("status")).to_have_text("1 of 40")
        frame.get_by_label("Find").fill("")
        recall = frame.locator("#all").get_by_role("button", name="Recall")
        recall.click()
        expect(rows.first).to_contain_text("label 00")
        recall.click()
        expect(rows.last).to_contain_text("label 00")
        assert set(asked) <= {f"{console_url}/c/organ/versions/2/errors"}
        assert problems == []


def test_a_version_shows_its_cards_in_frames_without_scripts(
    console: TestClient, organ: LoopContext
) -> None:
    page = console.get("/c/organ/versions/2").text
    assert "No card was written." in page and "perennial cards write organ 2" in page
    assert console.get("/c/organ/versions/2/cards/model").status_code == 404

    folder = card_folder(organ.settings.reports, "organ", "2")
    cells = [[plain(SCRIPT)]]
    section = Section("Labels", tables=[Table(("label",), cells)])
    save_cards(folder, {name: Card(f"{name} card", [section]) for name in ("model", "data")})
    page = console.get("/c/organ/versions/2").text
    for name in ("model", "data"):
        assert f'src="/c/organ/versions/2/cards/{name}" sandbox ' in page
        shown = console.get(f"/c/organ/versions/2/cards/{name}")
        policy = shown.headers["content-security-policy"]
        assert policy.startswith("sandbox; default-src 'none'") and "script" not in policy
        assert SCRIPT not in shown.text and "&lt;script&gt;" in shown.text
    assert console.get("/c/organ/versions/2/cards/card.json").status_code == 400
