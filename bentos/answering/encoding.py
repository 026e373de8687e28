"""Encodes an answer once per version and phrase.

A hit of the first cache level only joins bytes, for the response and for the journal row.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from core.contracts import ModelVersion, Prediction
from core.pins import Pin, apply_pin, settle

Probability = Annotated[float, Meta(ge=0, le=1)]

PINNED = ("pinned",)
"""The flags of a row that a pin answered."""


class EncodedAnswer(msgspec.Struct, frozen=True, gc=False):
    """The ends of two JSON objects: what depends on version and cleaned phrase alone.

    Their beginnings depend on the request. `own` is the version's own answer where a pin answers.
    `abstained` is what the client gets.
    """

    response: bytes
    row: bytes
    own: EncodedAnswer | None = None
    abstained: bool = False

    @property
    def weight(self) -> int:
        """Bytes."""
        own = self.own.weight if self.own is not None else 0
        return len(self.response) + len(self.row) + own


class Alternative(msgspec.Struct):
    """A label that came close."""

    label: str
    probability: Probability


class ResponseEnd(msgspec.Struct):
    """The fields of a response that do not depend on its request."""

    classifier: str
    label: str
    probability: Probability
    alternatives: list[Alternative]
    version: str
    revision: int | None
    known: bool
    pinned: bool
    abstained: bool


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
    abstained: bool
    flags: tuple[str, ...] = ()


class _PinnedRowEnd(msgspec.Struct):
    """What a pin changes in a row: the columns of the version stay as they are."""

    pin: int
    pinned_label: str


_encode = msgspec.json.Encoder().encode


def encode_answer(
    model: ModelVersion,
    cleaned: str,
    prediction: Prediction,
    *,
    revision: int | None,
    pin: Pin | None = None,
) -> EncodedAnswer:
    """Encode an answer; costs a few microseconds, once per phrase, version and revision.

    `revision` is that of the memory beside the head, None without one. An active `pin` answers the
    client; the row keeps the version's answer, and names the pin beside it.
    """
    prediction = settle(prediction, pin)
    response = _response_end(model, prediction, revision, pinned=False)
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
        prediction.abstained,
    )
    own = EncodedAnswer(response, _encode(row)[1:], abstained=prediction.abstained)
    answer = apply_pin(prediction, pin)
    if pin is None or answer is prediction:
        return own
    row.flags = PINNED
    pinned_row = b"%b,%b" % (_encode(row)[1:-1], _encode(_PinnedRowEnd(pin.id, pin.label))[1:])
    return EncodedAnswer(_response_end(model, answer, revision, pinned=True), pinned_row, own)


def _response_end(
    model: ModelVersion, answer: Prediction, revision: int | None, *, pinned: bool
) -> bytes:
    end = ResponseEnd(
        model.classifier,
        answer.label,
        answer.probability,
        [Alternative(*alternative) for alternative in answer.alternatives],
        model.version,
        revision,
        answer.known,
        pinned,
        answer.abstained,
    )
    return _encode(end)[1:]


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
