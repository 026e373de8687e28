"""`POST /v1/feedback` against its OpenAPI document, without a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from bentos.http.app import ClassifierApp
from bentos.http.feedback import FeedbackResponse
from bentos.http.schemas import ErrorResponse
from bentos.inference_log.feedback import FOLDER
from bentos.keys import Keys, new_key
from tests.support.journals import journaled
from tests.support.request_paths import Bench

ABOUT = {"request_id": "r-1", "label": " heart "}
LATER = "2026-01-01T00:00:00Z"
EXAMPLE = {"classifier": "organ", "phrase": "Aortic  valve", "label": "heart"}


@pytest.fixture
def client(bench: Bench) -> Iterator[TestClient]:
    app = ClassifierApp()
    app.state.app_state = bench.parts()
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def kept(bench: Bench) -> list[dict[str, Any]]:
    return journaled(bench.home / "journal" / FOLDER)


def test_a_label_of_an_answer_is_journaled_before_the_response(
    client: TestClient, bench: Bench
) -> None:
    sample = {"kind": "sample", "probability": 0.25}
    response = client.post("/v1/feedback", json={**ABOUT, **sample})
    assert response.status_code == 202
    answer = msgspec.json.decode(response.content, type=FeedbackResponse)
    assert (answer.request_id, answer.author) == ("r-1", "anonymous")
    [row] = kept(bench)
    assert row["received_at"] == response.json()["received_at"]
    stored = {name: row[name] for name in ("request_id", "label", "author", "kind", "probability")}
    assert stored == {"request_id": "r-1", "label": "heart", "author": "anonymous", **sample}
    assert bench.logged() == [], "no row of an answer"


def test_a_label_of_a_phrase_is_a_row_of_its_own_kind(client: TestClient, bench: Bench) -> None:
    moment = {"occurred_at": "2026-01-02T03:04:05Z", "region": "north"}
    response = client.post("/v1/feedback", json={**EXAMPLE, **moment})
    assert response.status_code == 202
    [row] = kept(bench)
    expected = {
        "request_id": response.json()["request_id"],
        "classifier": "organ",
        "phrase": "Aortic  valve",
        "cleaned": "aortic valve",
        "kind": "example",
        **moment,
    }
    assert {name: row[name] for name in expected} == expected


def test_the_author_is_the_name_of_the_key(
    client: TestClient, bench: Bench, tmp_path: Path
) -> None:
    named, named_hash = new_key()
    nameless, nameless_hash = new_key()
    (tmp_path / "keys").write_text(f"{named_hash} desk of the hospital\n{nameless_hash}\n")
    cast(Starlette, client.app).state.app_state.keys = Keys(tmp_path / "keys")
    assert client.post("/v1/feedback", json=ABOUT).status_code == 401
    for key in (named, nameless):
        headers = {"authorization": f"Bearer {key}"}
        assert client.post("/v1/feedback", json=ABOUT, headers=headers).status_code == 202
    authors = ["desk of the hospital", f"key {nameless_hash[:8]}"]
    assert [row["author"] for row in kept(bench)] == authors


BAD: dict[str, tuple[dict[str, Any], int, str | None]] = {
    "neither answer nor phrase": ({"label": "heart"}, 422, "classifier"),
    "no phrase": ({"label": "heart", "classifier": "organ"}, 422, "phrase"),
    "no label": ({"request_id": "r-1"}, 422, "label"),
    "a blank label": ({**ABOUT, "label": "  "}, 422, "label"),
    "a label that is a number": ({**ABOUT, "label": 1}, 422, "label"),
    "a NUL in the label": ({**ABOUT, "label": "a\0"}, 422, "label"),
    "a blank request id": ({**ABOUT, "request_id": " "}, 422, "request_id"),
    "an answer and a phrase": ({**ABOUT, "phrase": "valve"}, 422, "phrase"),
    "an answer and a moment": ({**ABOUT, "occurred_at": LATER}, 422, "occurred_at"),
    "an author": ({**ABOUT, "author": "ada"}, 422, "author"),
    "an unknown kind": ({**ABOUT, "kind": "guess"}, 422, "kind"),
    "a sample without its probability": ({**ABOUT, "kind": "sample"}, 422, "probability"),
    "a probability of no sample": ({**ABOUT, "probability": 0.5}, 422, "probability"),
    "a probability of 0": ({**ABOUT, "kind": "sample", "probability": 0}, 422, "probability"),
    "an example of a kind": ({**EXAMPLE, "kind": "correction"}, 422, "kind"),
    "an unknown classifier": ({**EXAMPLE, "classifier": "liver"}, 404, None),
    "an unknown label": ({**EXAMPLE, "label": "toe"}, 422, "label"),
    "a blank phrase": ({**EXAMPLE, "phrase": "\u200b"}, 422, "phrase"),
    "a NUL in the region": ({**EXAMPLE, "region": "a\0"}, 422, "region"),
    "a moment to come": ({**EXAMPLE, "occurred_at": "2199-01-01T00:00Z"}, 422, "occurred_at"),
    "an impossible moment": ({**EXAMPLE, "occurred_at": "1492-01-01T00:00Z"}, 422, "occurred_at"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_feedback_is_refused_in_the_error_schema(
    client: TestClient, bench: Bench, name: str
) -> None:
    body, status, field = BAD[name]
    response = client.post("/v1/feedback", content=json.dumps(body).encode())
    error = msgspec.json.decode(response.content, type=ErrorResponse)
    assert (response.status_code, error.field) == (status, field), error
    assert kept(bench) == []
    documented = client.get("/v1/openapi.json").json()["paths"]["/v1/feedback"]["post"]
    assert str(status) in documented["responses"]


def test_a_new_label_is_taken_when_the_client_says_so(client: TestClient, bench: Bench) -> None:
    body = {**EXAMPLE, "label": "toe", "new_label": True}
    assert client.post("/v1/feedback", json=body).status_code == 202
    assert [row["label"] for row in kept(bench)] == ["toe"]


def test_feedback_that_cannot_be_written_is_a_503(
    client: TestClient, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.feedback.close()
    response = client.post("/v1/feedback", json=ABOUT)
    error = msgspec.json.decode(response.content, type=ErrorResponse)
    assert (response.status_code, error.code) == (503, "feedback_not_kept")
    assert response.headers["retry-after"] == "1"
