"""The HTTP interface against its own OpenAPI document, without a server."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import cast

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.testclient import TestClient

from bentos.http import endpoint
from bentos.http.app import ClassifierApp
from bentos.http.classifiers import ClassifiersResponse
from bentos.http.openapi import OPERATIONS
from bentos.http.schemas import (
    MAX_BATCH,
    MAX_BODY_BYTES,
    BatchResponse,
    ErrorResponse,
    PredictionResponse,
)
from bentos.keys import Keys, new_key
from pipelines.model.text import MAX_PHRASE_LENGTH
from tests.support.heads import canary, champion, shadow, store_head
from tests.support.request_paths import Bench


@pytest.fixture
def client(bench: Bench) -> Iterator[TestClient]:
    app = ClassifierApp()
    app.state.app_state = bench.parts()
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def documented(client: TestClient) -> dict:
    return client.get("/v1/openapi.json").json()


def error_of(response) -> ErrorResponse:
    assert response.headers["content-type"] == "application/json"
    assert response.json().keys() <= {"code", "message", "field", "request_id"}
    assert "Traceback" not in response.text
    return msgspec.json.decode(response.content, type=ErrorResponse)


def test_predict(client: TestClient) -> None:
    body = {
        "phrase": "Broken heart",
        "key": "k",
        "occurred_at": "2026-01-02T03:04:05Z",
        "region": "north",
    }
    response = client.post("/v1/organ/predict", json=body)
    assert response.status_code == 200
    answer = msgspec.json.decode(response.content, type=PredictionResponse)
    assert response.json().keys() == set(PredictionResponse.__struct_fields__)
    assert (answer.classifier, answer.version, answer.role, answer.cached) == (
        "organ",
        "1",
        "champion",
        False,
    )
    assert answer.probability + sum(
        one.probability for one in answer.alternatives
    ) == pytest.approx(1, abs=1e-6)


def test_predict_batch_keeps_the_order_and_logs_its_fields(
    client: TestClient, bench: Bench
) -> None:
    phrases = [f"phrase {number}" for number in range(MAX_BATCH)]
    regions = [None, "south"] * (MAX_BATCH // 2)
    response = client.post("/v1/organ/predict_batch", json={"phrases": phrases, "regions": regions})
    assert response.status_code == 200
    answers = msgspec.json.decode(response.content, type=BatchResponse).predictions
    logged = bench.logged()
    assert [row["phrase"] for row in logged] == phrases
    assert [row["request_id"] for row in logged] == [answer.request_id for answer in answers]
    assert [row["region"] for row in logged] == regions


def test_classifiers(client: TestClient, bench: Bench) -> None:
    body = msgspec.json.decode(client.get("/v1/classifiers").content, type=ClassifiersResponse)
    assert [(one.classifier, one.version, one.labels) for one in body.classifiers] == [
        ("organ", "1", ["heart", "lung"])
    ]
    bench.promote("organ", "2")
    assert client.get("/v1/classifiers").json()["classifiers"][0]["version"] == "2"


BAD = {
    "empty body": (b"", 400, None),
    "no JSON": (b"phrase=heart", 400, None),
    "invalid UTF-8": (b'{"phrase": "\xff\xfe"}', 400, None),
    "a pickle": (b"\x80\x04\x8c\x05posix\x94.", 400, None),
    "deep nesting": (b"[" * 100_000, 422, None),
    "deep nesting of an unknown field": (b'{"x":' + b"[" * 100_000, 422, "x"),
    "no phrase": (b"{}", 422, "phrase"),
    "no text": (b'{"phrase": 7}', 422, "phrase"),
    "empty phrase": (b'{"phrase": ""}', 422, "phrase"),
    "blank phrase": (b'{"phrase": " \\n "}', 422, "phrase"),
    "only a zero-width space": ('{"phrase": "\u200b"}'.encode(), 422, "phrase"),
    "NUL": (b'{"phrase": "a\\u0000b"}', 422, "phrase"),
    "lone surrogate": (b'{"phrase": "\\ud800 a"}', 400, None),
    "long phrase": (json.dumps({"phrase": "a" * (MAX_PHRASE_LENGTH + 1)}).encode(), 422, "phrase"),
    "unknown field": (b'{"phrase": "a", "phrases": []}', 422, "phrases"),
    "no time zone": (b'{"phrase": "a", "occurred_at": "2026-01-01T00:00:00"}', 422, "occurred_at"),
    "large body": (b" " * (MAX_BODY_BYTES + 1), 413, None),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_the_error_schema(
    client: TestClient, bench: Bench, name: str
) -> None:
    body, status, field = BAD[name]
    response = client.post("/v1/organ/predict", content=body)
    error = error_of(response)
    assert (response.status_code, error.field) == (status, field)
    assert bench.logged() == []
    assert (
        str(status) in documented(client)["paths"]["/v1/{classifier}/predict"]["post"]["responses"]
    )


def test_errors_name_the_limits(client: TestClient) -> None:
    long = error_of(client.post("/v1/organ/predict", content=BAD["long phrase"][0]))
    many = error_of(
        client.post("/v1/organ/predict_batch", json={"phrases": ["a"] * (MAX_BATCH + 1)})
    )
    large = error_of(client.post("/v1/organ/predict", content=BAD["large body"][0]))
    for limit, error in ((MAX_PHRASE_LENGTH, long), (MAX_BATCH, many), (MAX_BODY_BYTES, large)):
        assert str(limit) in error.message


def test_a_large_body_of_unknown_length_is_refused(client: TestClient) -> None:
    parts = (b" " * 2**20 for _ in range(MAX_BODY_BYTES // 2**20 + 2))
    assert error_of(client.post("/v1/organ/predict", content=parts)).code == "body_too_large"


@pytest.mark.parametrize(
    "name", ["liver", "..%2F..%2Fetc%2Fpasswd", "organ%00", "%F0%9F%AB%80", "a" * 5000]
)
def test_an_error_for_an_unknown_classifier_names_the_known_ones(
    client: TestClient, name: str
) -> None:
    response = client.post(f"/v1/{name}/predict", json={"phrase": "a"})
    error = error_of(response)
    assert (response.status_code, len(error.message) < 300) == (404, True)
    assert error.code == "not_found" or "organ" in error.message


def test_other_paths_and_methods(client: TestClient) -> None:
    assert error_of(client.get("/v2/anything")).code == "not_found"
    response = client.get("/v1/organ/predict")
    assert (response.status_code, response.headers["allow"], error_of(response).code) == (
        405,
        "POST",
        "method_not_allowed",
    )


def test_without_the_embedder_a_new_phrase_is_503_and_says_when_to_come_again(
    client: TestClient, bench: Bench
) -> None:
    bench.embedder.down = True
    response = client.post("/v1/organ/predict", json={"phrase": "a"})
    assert (response.status_code, response.headers["retry-after"], error_of(response).code) == (
        503,
        "1",
        "embedder_unavailable",
    )


def test_with_keys_only_their_holders_are_answered(
    client: TestClient, bench: Bench, tmp_path: Path
) -> None:
    key, hashed = new_key()
    (tmp_path / "keys").write_text(hashed)
    cast(Starlette, client.app).state.app_state.keys = Keys(tmp_path / "keys")
    for headers in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": key},
        {"authorization": f"Bearer {hashed}"},
    ):
        response = client.post("/v1/organ/predict", json={"phrase": "a"}, headers=headers)
        assert (
            response.status_code,
            response.headers["www-authenticate"],
            error_of(response).code,
        ) == (401, "Bearer", "unauthorized")
        assert key not in response.text
    assert bench.logged() == []
    right = {"authorization": f"Bearer {key}"}
    assert client.post("/v1/organ/predict", json={"phrase": "a"}, headers=right).status_code == 200
    assert [
        client.get("/v1/classifiers", headers=headers).status_code for headers in ({}, right)
    ] == [401, 200]
    assert [client.get(path).status_code for path in ("/metrics", "/v1/openapi.json")] == [200, 200]
    assert documented(client)["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


def test_too_many_requests_at_once_are_429(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "MAX_CONCURRENT", 0)
    response = client.post("/v1/organ/predict", json={"phrase": "a"})
    assert (response.status_code, response.headers["retry-after"], error_of(response).code) == (
        429,
        "1",
        "overloaded",
    )


def test_an_error_of_ours_is_a_500_without_its_reason(
    client: TestClient, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(cleaned: list[str]) -> AsyncGenerator[None, None]:
        raise RuntimeError("the secret reason")
        yield

    monkeypatch.setattr(bench.embedder, "embed", broken)
    response = client.post("/v1/organ/predict", json={"phrase": "a"})
    assert (response.status_code, "secret" in response.text) == (500, False)
    assert client.post("/v1/organ/predict", content=b"").status_code == 400


def test_every_operation_of_the_document_is_routed(client: TestClient) -> None:
    for operation in OPERATIONS:
        response = client.request(operation.method, operation.path.replace("{classifier}", "organ"))
        assert response.status_code not in (404, 405), operation.path


def test_metrics_count_what_happened(client: TestClient, bench: Bench) -> None:
    client.post("/v1/organ/predict_batch", json={"phrases": ["a", "b", "a"]})
    client.post("/v1/organ/predict", json={"phrase": "a"})
    client.post("/v1/organ/predict", content=b"")
    for number in range(20):
        client.get(f"/scan/{number}")
    families = {
        family.name: family
        for family in text_string_to_metric_families(client.get("/metrics").text)
    }
    values = {
        (name, *sorted(sample.labels.values())): sample.value
        for name, family in families.items()
        for sample in family.samples
    }
    assert values["perennial_phrases", "1", "champion", "organ"] == 4
    assert values["perennial_responses", "400", "predict"] == 1
    assert values["perennial_responses", "404", "none"] == 20
    assert values["perennial_cache_hits", "answers"] == 1
    assert values["perennial_journal_rows", "written"] == 4
    assert values["perennial_embeddings_computed",] == 2
    assert len(families["perennial_responses"].samples) == 4, "scanned paths add no series"
    bench.embedder.down = True
    assert "embeddings" not in client.get("/metrics").text.replace("computing an embedding", "")


def test_a_version_asked_for_answers_alone_and_its_rows_say_so(
    client: TestClient, bench: Bench
) -> None:
    store_head(bench.home, "organ", "2")
    single = client.post("/v1/organ/predict?version=2", json={"phrase": "a"}).json()
    batch = client.post("/v1/organ/predict_batch?version=2", json={"phrases": ["a", "b"]}).json()[
        "predictions"
    ]
    assert {(one["version"], one["role"]) for one in (single, *batch)} == {("2", "asked")}
    assert [(row["version"], row["role"]) for row in bench.logged()] == [("2", "asked")] * 3
    assert (
        client.post("/v1/organ/predict?other=2", json={"phrase": "a"}).json()["role"] == "champion"
    )


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("version=9", 404, "unknown_version"),
        ("version=0", 422, "invalid_field"),
        ("version=", 422, "invalid_field"),
        ("version=1&version=2", 422, "invalid_field"),
        ("version=..%2F..%2Fetc", 422, "invalid_field"),
        ("version=%D9%A1", 422, "invalid_field"),
        ("version=1%00", 422, "invalid_field"),
        ("version=1%0A", 422, "invalid_field"),
        ("&".join(f"a{number}=1" for number in range(100)), 422, "invalid_field"),
        ("version=8", 409, "head_refused"),
    ],
)
def test_a_version_that_cannot_answer_is_refused(
    client: TestClient, bench: Bench, query: str, status: int, code: str
) -> None:
    store_head(bench.home, "organ", "8", embedder_id="other")
    for route, body in (("predict", {"phrase": "a"}), ("predict_batch", {"phrases": ["a"]})):
        response = client.post(f"/v1/organ/{route}?{query}", json=body)
        assert (response.status_code, error_of(response).code) == (status, code)
        assert str(bench.home) not in response.text
        assert (
            str(status)
            in documented(client)["paths"][f"/v1/{{classifier}}/{route}"]["post"]["responses"]
        )
    assert bench.logged() == []


def test_models_shows_the_versions_beside_the_champion(client: TestClient, bench: Bench) -> None:
    first, second, third = (store_head(bench.home, "organ", version) for version in "123")
    bench.roll_out(champion(first), canary=canary(second, 0.2), shadow=shadow(third))
    [body] = client.get("/v1/classifiers").json()["classifiers"]
    beside = [
        {"version": "2", "role": "canary", "share": 0.2},
        {"version": "3", "role": "shadow", "share": 1.0},
    ]
    assert (body["version"], body["role"], body["beside"]) == ("1", "champion", beside)
    text = client.get("/metrics").text
    assert 'perennial_canary_share{classifier="organ",version="2"} 0.2' in text
    assert 'perennial_live_head{classifier="organ",role="shadow",version="3"} 1.0' in text
