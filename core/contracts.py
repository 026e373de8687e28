"""The values that packages exchange: plain, frozen, without behaviour."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Role = Literal["champion", "canary", "shadow", "asked"]
ANSWERING: tuple[Role, ...] = ("champion", "canary", "asked")
"""Roles whose label was the answer; a shadow's row has the request_id of such a row."""

LOADTEST_KEY = "loadtest-"
"""Prefix of the routing key of a load test's requests, which sets them apart from traffic."""

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def is_plain_name(name: str) -> bool:
    """Return True when the name is an entry of a folder and cannot lead out of it.

    Ids from tables and tags are checked before they become paths.
    """
    return _PLAIN.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answer: the most probable label and its calibrated probability in [0, 1].

    `alternatives` are the next labels with their probabilities, best first. `known` is true for a
    phrase that the memory knows, and `head_label` what the head alone would have answered where the
    memory changed that. `abstained`: no label fits the phrase, and `label` is the best guess.
    """

    label: str
    probability: float
    alternatives: tuple[tuple[str, float], ...] = ()
    known: bool = False
    head_label: str | None = None
    abstained: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision as a value.

    Attributes
    ----------
    kind : str
        One word, such as "promote", "reject", "retrain", "wait", "steady" or "drift";
        docs/operations.md lists all of them.
    reasons : tuple of str
        Sentences for people.
    evidence : mapping
        The numbers behind the reasons, serialisable as JSON.
    """

    kind: str
    reasons: tuple[str, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The labelled phrases of a moment. `logical_hash` does not depend on the order of rows."""

    dataset: str
    as_of: datetime
    rows: int
    logical_hash: str
    query_hash: str


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One trained version of a classifier: its number in MLflow and the folder of its head."""

    classifier: str
    version: str
    head_location: str
    head_digest: str
    embedder_id: str

    @property
    def identity(self) -> str:
        """Key of cached answers: in a new registry, a number may belong to another head."""
        return f"{self.version}:{self.head_digest}"


@dataclass(frozen=True, slots=True)
class Deployment:
    """One row of `deployment`: from `since` on, the version plays `role`.

    `share` is the share of requests in [0, 1]; 0 ends the role.
    """

    model: ModelVersion
    role: Role
    share: float
    since: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Rollout:
    """Which versions play the roles of one classifier now; None for no version."""

    champion: Deployment | None = None
    canary: Deployment | None = None
    shadow: Deployment | None = None


RETIRED = Rollout()
"""The rollout of a classifier that was removed: nothing answers."""


@dataclass(frozen=True, slots=True)
class Inference:
    """One answered or shadowed phrase, as logged.

    `occurred_at` is set when the row enters the journal; `probability` is in [0, 1].

    `label`, `probability` and `alternatives` are the version's. Where a pin answered instead, `pin`
    is its id and `pinned_label` what the client got. `abstained`: the version refused the phrase;
    None in rows of earlier releases.
    """

    occurred_at: datetime
    request_id: str
    version: str
    classifier: str
    role: Role
    phrase: str
    cleaned: str
    label: str
    probability: float
    alternatives: Sequence[tuple[str, float]]
    embedder_id: str
    cached: bool
    latency_ms: float
    region: str | None = None
    routing_key: str | None = None
    flags: tuple[str, ...] = ()
    revision: int | None = None
    head_label: str | None = None
    pin: int | None = None
    pinned_label: str | None = None
    abstained: bool | None = None
