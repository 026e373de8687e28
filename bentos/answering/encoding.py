"""Encodes an answer once per version and phrase.

A hit of the first cache level only joins bytes, for the response and for the journal row.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from core.contracts import ModelVersion, Prediction


class EncodedAnswer(msgspec.Struct, frozen=True, gc=False):
    """The ends of two JSON objects: what depends on version and cleaned phrase alone.

    Their beginnings depend on the request.
    """

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
    revision: int | None
    known: bool


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
    revision: int | None
    head_label: str | None
    flags: tuple[str, ...] = ()


_encode = msgspec.json.Encoder().encode


def encode_answer(
    model: ModelVersion, cleaned: str, prediction: Prediction, *, revision: int | None
) -> EncodedAnswer:
    """Encode an answer; costs a few microseconds, once per phrase, version and revision.

    `revision` is that of the memory beside the head, None without one.
    """
    response = _ResponseEnd(
        model.classifier,
        prediction.label,
        prediction.probability,
        [Alternative(*alternative) for alternative in prediction.alternatives],
        model.version,
        revision,
        prediction.known,
    )
    row = _RowEnd(
        model.version,
        model.classifier,
        cleaned,
        prediction.label,
        prediction.probability,
        prediction.alternatives,
        model.embedder_id,
        revision,
        prediction.head_label,
    )
    return EncodedAnswer(_encode(response)[1:], _encode(row)[1:])


def response_body(answer: EncodedAnswer, request_id: str, role: str, cached: bool) -> bytes:
    """Return the JSON of one answer as it is sent."""
    return b'{"request_id":"%b","role":"%b","cached":%b,%b' % (
        request_id.encode(),
        role.encode(),
        b"true" if cached else b"false",
        answer.response,
    )


def row_shared(
    occurred_at: datetime,
    role: str,
    region: str | None,
    routing_key: str | None,
    *,
    latency_ms: float,
) -> bytes:
    """Return the part of a row that the phrases of a batch often share."""
    return _encode(_RowShared(occurred_at, role, region, routing_key, latency_ms))[1:-1]


def journal_row(
    answer: EncodedAnswer, shared: bytes, request_id: str, phrase: str, cached: bool
) -> bytes:
    """Return one answer as it is journaled: the columns of `inference` as a JSON object."""
    return b'{"request_id":"%b","phrase":%b,"cached":%b,%b,%b' % (
        request_id.encode(),
        _encode(phrase),
        b"true" if cached else b"false",
        shared,
        answer.row,
    )
