"""`POST /v1/feedback` through the real service to PostgreSQL."""

from __future__ import annotations

from typing import Any

import httpx
import sqlalchemy as sa

from core.tables.loop import feedback
from tests.support.processes import wait_until
from tests.support.services import House


def stored(house: House) -> dict[str, Any]:
    with house.engine.connect() as connection:
        return {row.request_id: row for row in connection.execute(sa.select(feedback))}


def ask(client: httpx.Client, phrase: str) -> str:
    answer = client.post("/v1/organ/predict", json={"phrase": phrase})
    return str(answer.json()["request_id"])


def send(client: httpx.Client, **body: str) -> str:
    response = client.post("/v1/feedback", json=body)
    assert response.status_code == 202, response.text
    return str(response.json()["request_id"])


def test_labels_of_answers_and_of_phrases_are_stored(house: House, client: httpx.Client) -> None:
    about = send(client, request_id=ask(client, "beating too fast"), label="heart")
    example = send(client, classifier="organ", phrase="Short of breath", label="lung")
    wait_until(lambda: {about, example} <= stored(house).keys(), seconds=20, what="both stored")
    rows = stored(house)
    assert (rows[about].classifier, rows[about].author) == ("organ", "anonymous")
    assert (rows[example].kind, rows[example].cleaned) == ("example", "short of breath")
    metrics = client.get("/metrics").text
    assert 'perennial_feedback_rows_total{outcome="stored"}' in metrics


def test_a_database_outage_costs_no_label(house: House, client: httpx.Client) -> None:
    house.stop_database()
    try:
        about = send(client, request_id=ask(client, "asked without a database"), label="lung")
        unknown = send(client, request_id="r-unknown", label="lung")
    finally:
        house.start_database()
    wait_until(lambda: about in stored(house), seconds=30, what="the label stored")
    assert unknown not in stored(house)
    assert about in house.logged_ids(), "its answer was shipped first"


def test_sigterm_stores_the_labels_of_the_last_moment(house: House, client: httpx.Client) -> None:
    about = send(client, request_id=ask(client, "the last question"), label="heart")
    house.stop_service()
    assert about in stored(house)


def test_the_packed_service_has_its_pages(client: httpx.Client) -> None:
    assert "/v1/feedback" in client.get("/").text
    assert "swagger-ui-bundle.js" in client.get("/docs").text
    assert len(client.get("/docs/swagger-ui-bundle.js").content) > 1_000_000
    assert [client.get(path).status_code for path in ("/livez", "/readyz")] == [200, 200]
