"""A version with a rule of abstention answers through the real service, log and restarts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from core.database import DatabaseUrls
from core.deployments import append_deployment
from core.params.schema import Params
from core.tables.loop import feedback
from flows.context import LoopContext
from lineage.replay import replay
from monitoring.labels.pinning import WantedPin, add_pin, champion_labels, end_pin
from pipelines.model.abstention import Abstention, save_abstention
from pipelines.model.digests import write_digest
from pipelines.model.head_file import head_digest
from tests.support.embedders import build_tiny_embedder
from tests.support.heads import EMBEDDER_ID, champion, store_head
from tests.support.processes import wait_until
from tests.support.services import House

PARAMS = Params.model_validate(
    {"classifiers": {"organ": {"source": {"query": "queries/notes.sql", "label": "organ"}}}}
)
VERSION = "71"
EVERYTHING = Abstention(threshold=100.0, novelty_limit=0.0, novelty_weight=0.0)
PHRASE = "a phrase of nobody"


def ask(client: httpx.Client, phrase: str, **query: str) -> dict[str, Any]:
    response = client.post("/v1/organ/predict", json={"phrase": phrase}, params=query)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


@pytest.fixture
def refusing(house: House, client: httpx.Client) -> Iterator[House]:
    """The service with a champion that refuses every phrase that nobody labelled."""
    model = store_head(house.settings.home, "organ", VERSION)
    save_abstention(EVERYTHING, Path(model.head_location))
    with house.engine.begin() as connection:
        append_deployment(connection, champion(model))
    wait_until(
        lambda: ask(client, "a")["version"] == VERSION, seconds=10, what="the refusing version"
    )
    yield house
    house.promote("1")
    wait_until(lambda: ask(client, "a")["version"] == "1", seconds=10, what="version 1")


def test_a_refused_phrase_is_answered_logged_and_counted(
    refusing: House, client: httpx.Client
) -> None:
    before = ask(client, PHRASE, version="1")
    first = ask(client, PHRASE)
    again = ask(client, PHRASE)
    assert (before["abstained"], first["abstained"], again["abstained"]) == (False, True, True)
    assert (first["cached"], again["cached"]) == (True, True)  # the embedding, then the answer
    assert first["label"] in ("heart", "lung") and 0 < first["probability"] < 1
    batch = client.post("/v1/organ/predict_batch", json={"phrases": [PHRASE, "another"]})
    assert [row["abstained"] for row in batch.json()["predictions"]] == [True, True]
    metrics = client.get("/metrics").text
    line = f'perennial_phrases_abstained_total{{classifier="organ",version="{VERSION}"}}'
    assert line in metrics

    refusing.settled_ids()
    rows = {row.request_id: row for row in refusing.logged()}
    assert rows[first["request_id"]].abstained is True
    assert rows[first["request_id"]].label == first["label"]
    assert rows[before["request_id"]].abstained is False


def test_a_client_confirms_a_refusal(refusing: House, client: httpx.Client) -> None:
    answer = ask(client, "a phrase that truly fits nothing")
    body = {"request_id": answer["request_id"], "kind": "none_of_these"}
    assert client.post("/v1/feedback", json=body).status_code == 202
    labelled = client.post("/v1/feedback", json={**body, "label": "heart"})
    assert (labelled.status_code, labelled.json()["field"]) == (422, "label")
    without = client.post("/v1/feedback", json={"request_id": answer["request_id"]})
    assert (without.status_code, without.json()["field"]) == (422, "label")

    def stored() -> bool:
        query = sa.select(feedback.c.kind, feedback.c.label).where(
            feedback.c.request_id == answer["request_id"]
        )
        with refusing.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(query)] == [("none_of_these", "")]

    wait_until(stored, seconds=20, what="the feedback is stored")


def test_a_pin_is_never_refused(refusing: House, client: httpx.Client) -> None:
    phrase = "a phrase that somebody pins"
    own = ask(client, phrase)
    assert own["abstained"]
    wanted = WantedPin("organ", phrase, own["label"], "anna", "test", None)
    with refusing.engine.begin() as connection:
        labels = champion_labels(connection, "organ")
        add_pin(connection, wanted, labels=labels, now=datetime.now(UTC))
    wait_until(lambda: not ask(client, phrase)["abstained"], seconds=5, what="the pin answers")
    assert ask(client, phrase)["label"] == own["label"]
    with refusing.engine.begin() as connection:
        end_pin(connection, "organ", phrase, author="ben", why="test", now=datetime.now(UTC))
    wait_until(lambda: ask(client, phrase)["abstained"], seconds=5, what="the pin is over")


def test_a_refused_answer_is_replayed_and_a_lost_rule_shows(
    refusing: House, client: httpx.Client
) -> None:
    answer = ask(client, "a phrase to replay")
    refusing.settled_ids()
    home = refusing.settings.home
    folder = home / "embedders" / EMBEDDER_ID
    if not folder.exists():
        build_tiny_embedder(folder)
    urls = DatabaseUrls(refusing.database_url, refusing.database_url, refusing.database_url)
    loop = LoopContext(refusing.settings, urls, refusing.engine, PARAMS)
    [replayed] = replay(loop, answer["request_id"])
    assert replayed.replayed is not None
    assert (replayed.logged.abstained, replayed.replayed.abstained) == (True, True)
    assert replayed.verdict.kind in ("identical", "equivalent")

    model = home / "models" / "organ" / VERSION
    save_abstention(None, model)
    write_digest(model, head_digest(model))
    [replayed] = replay(loop, answer["request_id"])
    assert replayed.verdict.kind == "different"
    assert "the phrase was refused then, and is answered now" in replayed.verdict.reasons
    save_abstention(EVERYTHING, model)
