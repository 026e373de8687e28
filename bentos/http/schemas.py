"""The types of the HTTP interface, and what becomes of an error. Strict: an unknown field is refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qs

import msgspec
from msgspec import Meta, Struct

from bentos.answering.answers import PhraseRequest
from core.errors import (
    DatabaseUnreachable,
    EmbedderUnavailable,
    InvalidPhrase,
    Overloaded,
    PerennialError,
    UnknownClassifier,
    UnknownRequest,
    UnknownVersion,
)
from pipelines.model.text import MAX_PHRASE_LENGTH

MAX_BATCH = 256
PLACES = tuple(f"phrases[{number}]" for number in range(MAX_BATCH))
MAX_QUERY_FIELDS = 16
VERSION_PATTERN = "^[1-9][0-9]{0,8}$"
VERSION = re.compile(VERSION_PATTERN, re.ASCII)
MAX_BODY_BYTES = 4 * 2**20
EARLIEST, LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)

Phrase = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_PHRASE_LENGTH,
        description="without NUL characters, and not only white space",
    ),
]
Short = Annotated[str, Meta(max_length=200)]
Moment = Annotated[
    datetime,
    Meta(tz=True, description="ISO 8601 with a time zone, from 1900 to 2200; now by default"),
]
Probability = Annotated[float, Meta(ge=0, le=1)]


class PredictRequest(Struct, forbid_unknown_fields=True):
    """`key` makes routing sticky; it, `occurred_at` and `region` are logged."""

    phrase: Phrase
    key: Short | None = None
    occurred_at: Moment | None = None
    region: Short | None = None


class PredictBatchRequest(Struct, forbid_unknown_fields=True):
    """The optional lists are as long as `phrases`."""

    phrases: Annotated[list[Phrase], Meta(min_length=1, max_length=MAX_BATCH)]
    keys: Annotated[list[Short | None], Meta(max_length=MAX_BATCH)] | None = None
    occurred_at: Annotated[list[Moment | None], Meta(max_length=MAX_BATCH)] | None = None
    regions: Annotated[list[Short | None], Meta(max_length=MAX_BATCH)] | None = None


class Alternative(Struct):
    """A label that came close."""

    label: str
    probability: Probability


class PredictionResponse(Struct):
    """One answered phrase. `cached`: no embedding had to be computed for it."""

    request_id: str
    classifier: str
    label: str
    probability: Probability
    alternatives: list[Alternative]
    version: str
    role: str
    cached: bool


class BatchResponse(Struct):
    """In the order of the request."""

    predictions: list[PredictionResponse]


class BesideInfo(Struct):
    """A version beside the champion: a canary answers `share` of the requests, a shadow scores all and answers none."""

    version: str
    role: str
    share: Annotated[float, Meta(ge=0, le=1)]


class ClassifierInfo(Struct):
    """A classifier, the version that answers for it, and those beside it."""

    classifier: str
    version: str
    role: str
    labels: list[str]
    beside: list[BesideInfo]


class ClassifiersResponse(Struct):
    """Every classifier that answers, by name."""

    classifiers: list[ClassifierInfo]


class ErrorResponse(Struct, omit_defaults=True):
    """`code` is a stable word; `field` names what to correct."""

    code: str
    message: str
    request_id: str
    field: str | None = None


class RequestRefused(PerennialError):
    """A request that cannot be understood, or breaks a limit."""

    def __init__(self, status: int, code: str, message: str, *, field: str | None = None) -> None:
        super().__init__("a request as in /v1/openapi.json", came=message, do="correct the request")
        self.status, self.code, self.message, self.field = status, code, message, field


STATUSES: dict[type[PerennialError], int] = {
    InvalidPhrase: 422,
    UnknownClassifier: 404,
    UnknownVersion: 404,
    UnknownRequest: 404,
    EmbedderUnavailable: 503,
    Overloaded: 429,
    DatabaseUnreachable: 503,
}

Request = TypeVar("Request", bound=Struct)


def status_of(error: PerennialError) -> int:
    """HTTP status of an error: what the client can mend is 4xx, what may pass is 503."""
    if isinstance(error, RequestRefused):
        return error.status
    return STATUSES.get(type(error), 503 if error.retryable else 500)


def error_body(error: PerennialError, *, request_id: str) -> bytes:
    """The error schema. Of an error that is ours to mend, only its code is told."""
    message, field = str(error), getattr(error, "field", None)
    if isinstance(error, RequestRefused):
        message = error.message
    elif status_of(error) == 500:
        message = "the service failed; its log has the reason under this request_id"
    return msgspec.json.encode(
        ErrorResponse(code=error.code, message=message, request_id=request_id, field=field)
    )


_AT = re.compile(r" - at `\$\.?(.*?)`$")
_NAMED = re.compile(r"field `(.*?)`")


def decode_request(decoder: msgspec.json.Decoder[Request], body: bytes) -> Request:
    """Raises `RequestRefused`: 400 when it is no JSON in UTF-8, 422 when a field is missing, unknown, of the wrong type or too long."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise RequestRefused(
            400, "malformed_json", f"the body must be JSON in UTF-8: {error}"
        ) from None


def _invalid(message: str) -> RequestRefused:
    at, named = _AT.search(message), _NAMED.search(message)
    field = (at and at[1]) or (named and named[1]) or None
    return RequestRefused(422, "invalid_field", _AT.sub("", message), field=field)


def parse_predict_request(request: PredictRequest) -> list[PhraseRequest]:
    """Check what a schema cannot say; raises `RequestRefused`."""
    return [
        _checked(
            PhraseRequest(
                request.phrase, "phrase", request.key, request.occurred_at, request.region
            )
        )
    ]


def parse_predict_batch_request(request: PredictBatchRequest) -> list[PhraseRequest]:
    """Check what a schema cannot say; raises `RequestRefused`."""
    rows = len(request.phrases)
    keys, moments, regions = (
        _as_long(request, name, rows) for name in ("keys", "occurred_at", "regions")
    )
    return [
        _checked(PhraseRequest(*one))
        for one in zip(request.phrases, PLACES, keys, moments, regions, strict=False)
    ]  # as long as the phrases


def _as_long(request: PredictBatchRequest, name: str, rows: int) -> list[Any]:
    values = getattr(request, name)
    if values is not None and len(values) != rows:
        raise RequestRefused(
            422,
            "invalid_field",
            f"Expected {rows} values, one a phrase, got {len(values)}",
            field=name,
        )
    return values or [None] * rows


def _checked(one: PhraseRequest) -> PhraseRequest:
    if "\0" in one.phrase or (one.key and "\0" in one.key) or (one.region and "\0" in one.region):
        named = next(
            name for name in ("phrase", "key", "region") if "\0" in (getattr(one, name) or "")
        )
        raise RequestRefused(
            422,
            "invalid_field",
            "Expected text without NUL characters",
            field=_field(named, one.place),
        )
    if one.occurred_at is not None and not EARLIEST <= one.occurred_at < LATEST:
        raise RequestRefused(
            422,
            "invalid_field",
            "Expected a moment from 1900 to 2200",
            field=_field("occurred_at", one.place),
        )
    return one


def _field(name: str, place: str) -> str:
    """Where a value stood: "key" beside "phrase", "keys[3]" beside "phrases[3]"."""
    if place == "phrase":
        return name
    return {"phrase": "phrases", "key": "keys", "region": "regions"}.get(
        name, name
    ) + place.removeprefix("phrases")


def version_of(query: bytes) -> str | None:
    """The version that a query string asks for, None when it asks for none. Raises `RequestRefused` when it is no number."""
    try:
        named = parse_qs(
            query.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS
        ).get("version", [])
    except ValueError:
        raise RequestRefused(
            422, "invalid_field", f"Expected a query of at most {MAX_QUERY_FIELDS} fields in ASCII"
        ) from None
    if not named:
        return None
    if len(named) > 1 or not VERSION.fullmatch(named[0]):
        raise RequestRefused(
            422, "invalid_field", "Expected one version number, such as 3", field="version"
        )
    return named[0]


def batch_body(answers: Sequence[bytes]) -> bytes:
    """The JSON of a `BatchResponse` from the JSON of its predictions."""
    return b'{"predictions":[%b]}' % b",".join(answers)
