"""What a version says of a phrase, encoded once: a hit of the first level joins bytes, in the response and in the journal row."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from core.contracts import ModelVersion, Prediction


class Said(msgspec.Struct, frozen=True, gc=False):
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


class _RowHead(msgspec.Struct, gc=False):
    occurred_at: datetime
    request_id: str
    role: str
    phrase: str
    cached: bool
    latency_ms: float
    region: str | None
    routing_key: str | None


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


def say(model: ModelVersion, cleaned: str, prediction: Prediction) -> Said:
    """Encode an answer; costs a few microseconds, once a phrase and version."""
    name, version, label, probability = model.classifier, model.version, prediction.label, prediction.probability
    alternatives = [Alternative(*one) for one in prediction.alternatives]
    response = _ResponseEnd(name, label, probability, alternatives, version)
    row = _RowEnd(version, name, cleaned, label, probability, prediction.alternatives, model.embedder_id)
    return Said(_encode(response)[1:], _encode(row)[1:])


def response_body(said: Said, *, request_id: str, role: str, cached: bool) -> bytes:
    """One answer as it travels."""
    return b'{"request_id":"%b","role":"%b","cached":%b,%b' % (
        request_id.encode(),
        role.encode(),
        b"true" if cached else b"false",
        said.response,
    )


def journal_row(
    said: Said,
    *,
    occurred_at: datetime,
    request_id: str,
    role: str,
    phrase: str,
    cached: bool,
    latency_ms: float,
    region: str | None = None,
    routing_key: str | None = None,
) -> bytes:
    """One answer as it is logged: the columns of `inference` as a JSON object."""
    head = _RowHead(occurred_at, request_id, role, phrase, cached, latency_ms, region, routing_key)
    return b"%b,%b" % (_encode(head)[:-1], said.row)
