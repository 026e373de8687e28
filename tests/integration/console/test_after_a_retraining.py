"""What a real retraining leaves on the console's pages: versions, data, lineage of an answer."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from console.app import create_app
from core.contracts import ModelVersion
from core.params.schema import load_params
from core.tables.loop import inference as table
from flows.answering import open_version
from flows.context import LoopContext
from pipelines.model.training_phrases import load_training_phrases
from pipelines.model_store import stored_version
from tests.support.dying import MOMENTS
from tests.support.inferences import inference
from tests.support.retrainings import Place, verdict


@pytest.fixture(scope="module")
def console(place_with_champion: Place) -> TestClient:
    return console_at(place_with_champion, datetime.now(UTC))


def console_at(place: Place, moment: datetime) -> TestClient:
    params = load_params(place.settings.repository / "params.yaml")
    context = LoopContext(place.settings, place.urls, place.engine, params)
    app = create_app(context, clock=lambda: moment)
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)


def test_its_version_shows_the_gate_the_scores_and_the_snapshot(
    console: TestClient, place_with_champion: Place
) -> None:
    version = place_with_champion.champion()
    listed = console.get("/c/organ/versions").text
    assert "champion" in listed and f"/c/organ/versions/{version}" in listed
    page = console.get(f"/c/organ/versions/{version}").text
    assert "Gate: promote" in page and "all test rows" in page and "/c/organ/data/" in page


def test_its_snapshot_shows_the_label_mix_and_the_page_of_the_checks(
    console: TestClient, place_with_champion: Place
) -> None:
    [newest] = place_with_champion.rows("select max(id) as id from snapshot")
    page = console.get(f"/c/organ/data/{newest.id}").text
    assert "Label mix" in page and "<iframe" in page
    checks = console.get(f"/c/organ/data/{newest.id}/checks")
    assert checks.status_code == 200 and "checks passed" in checks.text


def test_an_answer_leads_to_the_snapshot_and_the_commit_of_its_version(
    console: TestClient, place_with_champion: Place
) -> None:
    version = place_with_champion.champion()
    row = inference(1, request_id="traced", version=version)
    with place_with_champion.engine.begin() as connection:
        connection.execute(sa.insert(table).values({**asdict(row), "flags": []}))
    page = console.get("/c/organ/answers/traced/lineage")
    assert page.status_code == 200, page.text
    for text in ("snapshot", "commit", "queries/", "promote"):
        assert text in page.text


def test_a_fix_on_a_page_is_learnt_by_the_next_version_and_its_page_says_so(
    place_with_champion: Place,
) -> None:
    """The whole circle of one label: page, feedback, snapshot, version, page."""
    place = place_with_champion
    console = console_at(place, MOMENTS["between"] - timedelta(hours=6))
    before = place.champion()
    phrase = "squeaking hinge"
    row = inference(
        7,
        request_id="fixed-on-a-page",
        version=before,
        phrase=phrase.title(),
        cleaned=phrase,
        label="heart",
        occurred_at=MOMENTS["between"] - timedelta(hours=7),
    )
    with place.engine.begin() as connection:
        connection.execute(sa.insert(table).values({**asdict(row), "flags": []}))
    fixed = console.post("/c/organ/answers/fixed-on-a-page/fix", data={"label": "bone"})
    assert fixed.status_code == 200, fixed.text
    page = fate_of(console)
    assert phrase.title() in page and page.count("not yet") == 3

    assert verdict(place.retrain("between")) == "promote"
    version = place.champion()
    assert version is not None and version != before
    [snapshot] = place.rows("select git_tag from snapshot order by id desc limit 1")
    page = fate_of(console)
    assert snapshot.git_tag in page and "revision" in page
    assert f"/versions/{version}" in page and ": promote" in page
    assert f"version {version} answers with it since" in page

    learnt = load_training_phrases(place.settings.models / "organ" / version)
    assert learnt is not None
    phrases = learnt.text.decode().split("\n")
    assert learnt.labels[learnt.codes[phrases.index(phrase)]] == "bone"
    [found] = open_version(place.settings, stored(place, version)).predict([phrase])
    assert found.label == "bone"


def fate_of(console: TestClient) -> str:
    """The row of the fix on the page of fixes, whatever it is asked besides."""
    page = console.get("/c/organ/fixes").text
    [row] = [part for part in page.split("<tr ") if "fixed-on-a-page" in part]
    return " ".join(row.split())


def stored(place: Place, version: str) -> ModelVersion:
    return stored_version(place.settings.models, classifier="organ", version=version)
