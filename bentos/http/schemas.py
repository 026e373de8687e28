"""The types of the HTTP interface and the status of each error. An unknown field is refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qs

import msgspec
from msgspec import Meta, Struct

from bentos.answering.answers import PhraseRequest
from bentos.answering.encoding import ResponseEnd
from core.errors import (
    DatabaseUnreachable,
    EmbedderUnavailable,
    InvalidPhrase,
    Overloaded,
    PerennialError,
    UnknownClassifier,
    UnknownRequest,
    UnknownVersion,
    UserError,
)
from pipelines.model.text import MAX_PHRASE_LENGTH

MAX_BATCH = 256
PLACES = tuple(f"phrases[{number}]" for number in range(MAX_BATCH))
MAX_QUERY_FIELDS = 16
VERSION_PATTERN = "^[1-9][0-9]{0,8}$"
VERSION = re.compile(VERSION_PATTERN, re.ASCII)
MAX_BODY_BYTES = 4 * 2**20
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)

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


class PredictRequest(Struct, forbid_unknown_fields=True):
    """`key` makes routing sticky. It is logged, as are `occurred_at` and `region`.

    `region` chooses the line of a question that has one per region.
    """

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


class PredictionResponse(ResponseEnd):
    """One answered phrase. `cached`: no embedding had to be computed for it.

    `revision` is that of the memory beside the head, null without one; `known` phrases had labels.
    `pinned`: a person fixed the label of this phrase, and `version` says otherwise. `abstained`: no
    label fits the phrase well enough, and `label` is the best guess; false for known and pinned
    phrases, and for versions that always answer.
    """

    request_id: str
    role: str
    cached: bool


class BatchResponse(Struct):
    """In the order of the request."""

    predictions: list[PredictionResponse]


class ErrorResponse(Struct, omit_defaults=True):
    """`code` is a stable word; `field` names what to correct."""

    code: str
    message: str
    request_id: str
    field: str | None = None


class RequestRefused(UserError):
    """A request that cannot be understood, or exceeds a limit."""

    def __init__(self, status: int, code: str, message: str, *, field: str | None = None) -> None:
        super().__init__("a request as in /v1/openapi.json", came=message, do="correct the request")
        self.status = status
        self.code = code
        self.message = message
        self.field = field


def invalid_field(message: str, field: str | None = None) -> RequestRefused:
    """Return the refusal of a body or a query, naming what to correct."""
    return RequestRefused(422, "invalid_field", message, field=field)


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
    """Return the HTTP status: 4xx when the client can correct it, 503 when a retry may succeed."""
    if isinstance(error, RequestRefused):
        return error.status
    return STATUSES.get(type(error), 503 if error.retryable else 500)


def error_body(error: PerennialError, *, request_id: str) -> bytes:
    """Return an `ErrorResponse` as JSON. An internal error shows its code only."""
    if isinstance(error, RequestRefused):
        message = error.message
    elif status_of(error) == 500:
        message = "the service failed; its log has the reason under this request_id"
    else:
        message = str(error)
    field = getattr(error, "field", None)
    return msgspec.json.encode(
        ErrorResponse(code=error.code, message=message, request_id=request_id, field=field)
    )


_AT = re.compile(r" - at `\$\.?(.*?)`$")
_NAMED = re.compile(r"field `(.*?)`")


def decode_request(decoder: msgspec.json.Decoder[Request], body: bytes) -> Request:
    """Decode a body. Raises `RequestRefused`.

    400: the body is not valid UTF-8 JSON. 422: a field is missing, unknown, of the wrong type or
    too long.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise RequestRefused(
            400, "malformed_json", f"the body must be valid UTF-8 JSON: {error}"
        ) from None


def _invalid(message: str) -> RequestRefused:
    position = _AT.search(message)
    named = _NAMED.search(message)
    field = (position and position[1]) or (named and named[1]) or None
    return invalid_field(_AT.sub("", message), field)


def parse_predict_request(request: PredictRequest) -> list[PhraseRequest]:
    """Check what a schema cannot express. Raises `RequestRefused`."""
    return [
        checked_phrase(
            PhraseRequest(
                request.phrase, "phrase", request.key, request.occurred_at, request.region
            )
        )
    ]


def parse_predict_batch_request(request: PredictBatchRequest) -> list[PhraseRequest]:
    """Check what a schema cannot express. Raises `RequestRefused`."""
    rows = len(request.phrases)
    keys = _as_long(request, "keys", rows)
    moments = _as_long(request, "occurred_at", rows)
    regions = _as_long(request, "regions", rows)
    values = zip(request.phrases, PLACES, keys, moments, regions, strict=False)  # PLACES is longer
    return [checked_phrase(PhraseRequest(*fields)) for fields in values]


def _as_long(request: PredictBatchRequest, name: str, rows: int) -> list[Any]:
    values = getattr(request, name)
    if values is not None and len(values) != rows:
        raise invalid_field(f"Expected {rows} values, one per phrase, got {len(values)}", name)
    return values or [None] * rows


def checked_phrase(request: PhraseRequest) -> PhraseRequest:
    """Return a request without NUL characters and impossible moments. Raises `RequestRefused`."""
    phrase = request.phrase
    key = request.key
    region = request.region
    if "\0" in phrase or (key and "\0" in key) or (region and "\0" in region):
        texts = {"phrase": phrase, "key": key or "", "region": region or ""}
        name = next(name for name, text in texts.items() if "\0" in text)
        raise invalid_field("Expected text without NUL characters", field_at(name, request.place))
    if request.occurred_at is not None and not EARLIEST <= request.occurred_at < LATEST:
        place = field_at("occurred_at", request.place)
        raise invalid_field("Expected a moment from 1900 to 2200", place)
    return request


_PLURALS = {"phrase": "phrases", "key": "keys", "region": "regions"}


def field_at(name: str, place: str) -> str:
    """Return where a value stood: "key" beside "phrase", "keys[3]" beside "phrases[3]"."""
    if place == "phrase":
        return name
    return _PLURALS.get(name, name) + place.removeprefix("phrases")


def version_of(query: bytes) -> str | None:
    """Return the version that a query string names, or None. Raises `RequestRefused`."""
    try:
        fields = parse_qs(
            query.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS
        )
    except ValueError:
        raise RequestRefused(
            422, "invalid_field", f"Expected a query of at most {MAX_QUERY_FIELDS} fields in ASCII"
        ) from None
    versions = fields.get("version", [])
    if not versions:
        return None
    if len(versions) > 1 or not VERSION.fullmatch(versions[0]):
        raise invalid_field("Expected one version number, such as 3", "version")
    return versions[0]


def batch_body(answers: Sequence[bytes]) -> bytes:
    """Return the JSON of a `BatchResponse` from the JSON of its predictions."""
    return b'{"predictions":[%b]}' % b",".join(answers)
