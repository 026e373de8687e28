from __future__ import annotations

import json

import msgspec
import pytest

from bentos.http.openapi import OPERATIONS, openapi_document
from bentos.http.schemas import (
    MAX_BATCH,
    PredictBatchRequest,
    PredictRequest,
    RequestRefused,
    decode_request,
    error_body,
    parse_predict_batch_request,
    parse_predict_request,
    status_of,
)
from core import errors
from core.errors import PerennialError
from pipelines.model.text import MAX_PHRASE_LENGTH

ONE = msgspec.json.Decoder(PredictRequest)
BATCH = msgspec.json.Decoder(PredictBatchRequest)
EXPECTED = {
    "InvalidPhrase": 422,
    "UnknownClassifier": 404,
    "UnknownVersion": 404,
    "UnknownRequest": 404,
    "Overloaded": 429,
}


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, PerennialError)
    ],
)
def test_every_error_has_a_status(kind: type[PerennialError]) -> None:
    status = status_of(kind("this", came="that", do="mend it"))
    assert status == EXPECTED.get(kind.__name__, 503 if kind.retryable else 500)


def test_an_error_of_ours_tells_its_code_and_nothing_else() -> None:
    body = json.loads(
        error_body(errors.HeadRefused("a head", came="/secret/path", do="mend it"), request_id="7")
    )
    assert body["code"] == "head_refused"
    assert "/secret" not in body["message"]


ONE_BODIES = [
    (b"", 400, None),
    (b"{", 400, None),
    (b"\x80\x04N.", 400, None),
    (b'{"phrase": "\xff"}', 400, None),
    (b'{"phrase": "\\ud800"}', 400, None),
    (b"[]", 422, None),
    (b"{}", 422, "phrase"),
    (b'{"phrase": null}', 422, "phrase"),
    (b'{"phrase": 7}', 422, "phrase"),
    (b'{"phrase": ""}', 422, "phrase"),
    (b'{"phrase": ["a"]}', 422, "phrase"),
    (b'{"phrase": "a", "extra": 1}', 422, "extra"),
    (json.dumps({"phrase": "a" * (MAX_PHRASE_LENGTH + 1)}).encode(), 422, "phrase"),
    (b'{"phrase": "a\\u0000"}', 422, "phrase"),
    (b'{"phrase": "a", "key": "\\u0000"}', 422, "key"),
    (b'{"phrase": "a", "region": "\\u0000"}', 422, "region"),
    (b'{"phrase": "a", "key": 7}', 422, "key"),
    (json.dumps({"phrase": "a", "key": "k" * 201}).encode(), 422, "key"),
    (b'{"phrase": "a", "occurred_at": "yesterday"}', 422, "occurred_at"),
    (b'{"phrase": "a", "occurred_at": "2026-01-01T00:00:00"}', 422, "occurred_at"),
    (b'{"phrase": "a", "occurred_at": "9999-12-31T23:59:59-12:00"}', 422, "occurred_at"),
    (b'{"phrase": "a", "occurred_at": "0001-01-01T00:00:00+12:00"}', 422, "occurred_at"),
]
BATCH_BODIES = [
    ({"phrases": []}, "phrases"),
    ({"phrases": "a"}, "phrases"),
    ({"phrases": ["a"] * (MAX_BATCH + 1)}, "phrases"),
    ({"phrases": ["a", 7]}, "phrases[1]"),
    ({"phrases": ["a", "b", ""]}, "phrases[2]"),
    ({"phrases": ["a", "\0"]}, "phrases[1]"),
    ({"phrases": ["a"], "keys": ["x", "y"]}, "keys"),
    ({"phrases": ["a", "b"], "regions": [None, "\0"]}, "regions[1]"),
    ({"phrases": ["a", "b"], "keys": ["\0", None]}, "keys[0]"),
    ({"phrases": ["a"], "occurred_at": ["2300-01-01T00:00:00Z"]}, "occurred_at[0]"),
    ({"phrases": ["a"], "occurred_at": []}, "occurred_at"),
]


@pytest.mark.parametrize(("body", "status", "field"), ONE_BODIES)
def test_bad_requests_are_refused_with_their_field(
    body: bytes, status: int, field: str | None
) -> None:
    with pytest.raises(RequestRefused) as refused:
        parse_predict_request(decode_request(ONE, body))
    assert (refused.value.status, refused.value.field) == (status, field)


@pytest.mark.parametrize(("body", "field"), BATCH_BODIES)
def test_bad_batches_are_refused_with_their_field(body: dict, field: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        parse_predict_batch_request(decode_request(BATCH, json.dumps(body).encode()))
    assert (refused.value.status, refused.value.field) == (422, field)


def test_the_error_names_the_limit() -> None:
    with pytest.raises(RequestRefused, match=str(MAX_PHRASE_LENGTH)):
        decode_request(ONE, json.dumps({"phrase": "a" * 3000}).encode())


def test_good_requests_pass() -> None:
    [request] = parse_predict_request(
        decode_request(
            ONE, json.dumps({"phrase": "ä" * MAX_PHRASE_LENGTH, "region": "north"}).encode()
        )
    )
    assert (len(request.phrase), request.region, request.key) == (MAX_PHRASE_LENGTH, "north", None)
    batch = parse_predict_batch_request(
        decode_request(BATCH, json.dumps({"phrases": ["a", "b"], "keys": ["k", None]}).encode())
    )
    assert [(request.place, request.key) for request in batch] == [
        ("phrases[0]", "k"),
        ("phrases[1]", None),
    ]


def test_the_document_describes_every_operation_and_refers_only_to_what_it_holds() -> None:
    document = openapi_document()
    assert {path for path, _ in _operations(document)} == {
        operation.path for operation in OPERATIONS
    }
    text = json.dumps(document)
    schemas = document["components"]["schemas"]
    assert {
        reference.split('"')[0] for reference in text.split("#/components/schemas/")[1:]
    } <= schemas.keys()
    assert schemas["PredictRequest"]["properties"]["phrase"]["maxLength"] == MAX_PHRASE_LENGTH
    assert schemas["PredictBatchRequest"]["properties"]["phrases"]["maxItems"] == MAX_BATCH


def _operations(document: dict) -> list[tuple[str, str]]:
    return [(path, method) for path, item in document["paths"].items() for method in item]
