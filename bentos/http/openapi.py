"""The routes of the classifier service as a table, and the OpenAPI document made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from bentos.http.classifiers import ClassifiersResponse
from bentos.http.examples import CLASSIFIER, EXAMPLES
from bentos.http.explain import ExplainRequest, ExplanationResponse
from bentos.http.feedback import FeedbackRequest, FeedbackResponse
from bentos.http.schemas import (
    VERSION_PATTERN,
    BatchResponse,
    ErrorResponse,
    PredictBatchRequest,
    PredictionResponse,
    PredictRequest,
)

REASONS = {
    400: "The body is not valid UTF-8 JSON",
    401: "The API key is missing or unknown",
    404: "No such classifier or version; the message names the known ones",
    408: "The body arrived too slowly",
    409: "The requested version is damaged, or needs another embedder",
    413: "The body is too large",
    422: "A field is missing, unknown, of the wrong type or beyond its limit",
    429: "Too many requests at once; Retry-After says when to retry",
    503: "The embedder does not answer, or the disk is full; Retry-After says when to retry",
}
SECURITY = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "an API key; not needed where none is configured",
    }
}
CLASSIFIER_PATH = {
    "name": "classifier",
    "in": "path",
    "required": True,
    "description": "GET /v1/classifiers names them",
    "schema": {"type": "string"},
    "example": CLASSIFIER,
}
VERSION = {
    "name": "version",
    "in": "query",
    "description": "a retained version that answers; by default the rollout chooses",
    "schema": {"type": "string", "pattern": VERSION_PATTERN},
}
RETRY_AFTER = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}


@dataclass(frozen=True)
class Operation:
    """One route: its handler's name, its method and path, its types and its possible errors."""

    name: str
    method: str
    path: str
    summary: str
    response: type[msgspec.Struct]
    request: type[msgspec.Struct] | None = None
    errors: tuple[int, ...] = ()
    status: int = 200


OPERATIONS = (
    Operation(
        "predict",
        "POST",
        "/v1/{classifier}/predict",
        "Classify one phrase",
        PredictionResponse,
        PredictRequest,
        tuple(REASONS),
    ),
    Operation(
        "predict_batch",
        "POST",
        "/v1/{classifier}/predict_batch",
        "Classify up to 256 phrases",
        BatchResponse,
        PredictBatchRequest,
        tuple(REASONS),
    ),
    Operation(
        "explain",
        "POST",
        "/v1/{classifier}/explain",
        "Say why a phrase gets its answer; nothing is logged",
        ExplanationResponse,
        ExplainRequest,
        tuple(REASONS),
    ),
    Operation(
        "feedback",
        "POST",
        "/v1/feedback",
        "Send the right label of an answer, or of a phrase",
        FeedbackResponse,
        FeedbackRequest,
        (400, 401, 404, 408, 413, 422, 429, 503),
        status=202,
    ),
    Operation(
        "classifiers",
        "GET",
        "/v1/classifiers",
        "The classifiers, their versions and labels",
        ClassifiersResponse,
        errors=(401, 429),
    ),
)


def openapi_document() -> dict[str, Any]:
    """Return an OpenAPI 3.1 document made from the table and the msgspec types."""
    types = [
        kind
        for operation in OPERATIONS
        for kind in (operation.request, operation.response)
        if kind is not None
    ]
    _, schemas = msgspec.json.schema_components(
        [*types, ErrorResponse], ref_template="#/components/schemas/{name}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Perennial",
            "version": "1",
            "description": "Phrase classifiers that keep themselves fresh",
        },
        "paths": {
            operation.path: {operation.method.lower(): _describe(operation)}
            for operation in OPERATIONS
        },
        "components": {"schemas": schemas, "securitySchemes": SECURITY},
        "security": [{}, {"key": []}],
    }


def _describe(operation: Operation) -> dict[str, Any]:
    errors = {str(status): _error(status) for status in operation.errors}
    examples = EXAMPLES[operation.name]
    answer = _content("The answer", operation.response)
    answer["content"]["application/json"]["example"] = msgspec.to_builtins(examples.answer)
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": {str(operation.status): answer, **errors},
    }
    if "{classifier}" in operation.path:
        described["parameters"] = [
            CLASSIFIER_PATH,
            VERSION,
        ]
    if operation.request is not None:
        content = _json(operation.request)
        content["application/json"]["examples"] = {
            name: {"summary": name, "value": _without_defaults(request)}
            for name, request in examples.requests.items()
        }
        described["requestBody"] = {"required": True, "content": content}
    return described


def _without_defaults(request: msgspec.Struct) -> dict[str, Any]:
    """Return the fields that a client would send."""
    defaults = {field.name: field.default for field in msgspec.structs.fields(request)}
    fields = msgspec.to_builtins(request)
    return {name: value for name, value in fields.items() if value != defaults[name]}


def _error(status: int) -> dict[str, Any]:
    content = _content(REASONS[status], ErrorResponse)
    return {**content, "headers": RETRY_AFTER} if status in (429, 503) else content


def _content(description: str, kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {"description": description, "content": _json(kind)}


def _json(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}}
