"""What a real retraining leaves on the console's pages: versions, data, lineage of an answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from console.app import create_app
from core.params import load_params
from core.tables import inference as table
from flows.context import LoopContext
from tests.support.inferences import inference
from tests.support.retrainings import Place


@pytest.fixture(scope="module")
def console(place_with_champion: Place) -> Iterator[TestClient]:
    place = place_with_champion
    params = load_params(place.settings.repository / "params.yaml")
    app = create_app(LoopContext(place.settings, place.urls, place.engine, params))
    yield TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)


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
