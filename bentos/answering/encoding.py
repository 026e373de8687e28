"""What a version says of a phrase, encoded once: a hit of the first level joins bytes, in the response and in the journal row."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from core.contracts import ModelVersion, Prediction


class EncodedAnswer(msgspec.Struct, frozen=True, gc=False):
    """The ends of two JSON objects: what depends on version and cleaned phrase alone. Their heads depend on the request."""

    response: bytes
    row: bytes

    @property
    def weight(self) -> int:
        """Bytes."""
        return len(self.response) + len(self.row)


class Alternative(msgspec.Struct):
    """A label that came close."""

    label: str
    probability: float


class _ResponseEnd(msgspec.Struct):
    classifier: str
    label: str
    probability: float
    alternatives: list[Alternative]
    version: str


class _RowShared(msgspec.Struct):
    occurred_at: datetime
    role: str
    region: str | None
    routing_key: str | None
    latency_ms: float


class _RowEnd(msgspec.Struct):
    version: str
    classifier: str
    cleaned: str
    label: str
    probability: float
    alternatives: Sequence[tuple[str, float]]
    embedder_id: str
    flags: tuple[str, ...] = ()


_encode = msgspec.json.Encoder().encode


def encode_answer(model: ModelVersion, cleaned: str, prediction: Prediction) -> EncodedAnswer:
    """Encode an answer; costs a few microseconds, once a phrase and version."""
    name, version, label, probability = (
        model.classifier,
        model.version,
        prediction.label,
        prediction.probability,
    )
    alternatives = [Alternative(*one) for one in prediction.alternatives]
    response = _ResponseEnd(name, label, probability, alternatives, version)
    row = _RowEnd(
        version, name, cleaned, label, probability, prediction.alternatives, model.embedder_id
    )
    return EncodedAnswer(_encode(response)[1:], _encode(row)[1:])


def response_body(said: EncodedAnswer, *, request_id: str, role: str, cached: bool) -> bytes:
    """One answer as it travels."""
    return b'{"request_id":"%b","role":"%b","cached":%b,%b' % (
        request_id.encode(),
        role.encode(),
        b"true" if cached else b"false",
        said.response,
    )


def row_shared(
    occurred_at: datetime,
    role: str,
    region: str | None,
    routing_key: str | None,
    *,
    latency_ms: float,
) -> bytes:
    """The part of a row that the phrases of a batch often share."""
    return _encode(_RowShared(occurred_at, role, region, routing_key, latency_ms))[1:-1]


def journal_row(
    said: EncodedAnswer, shared: bytes, request_id: str, phrase: str, cached: bool
) -> bytes:
    """One answer as it is logged: the columns of `inference` as a JSON object."""
    hit = b"true" if cached else b"false"
    return b'{"request_id":"%b","phrase":%b,"cached":%b,%b,%b' % (
        request_id.encode(),
        _encode(phrase),
        hit,
        shared,
        said.row,
    )
