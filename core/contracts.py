"""The values that travel between rooms. Plain, frozen, without behaviour beyond naming."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Role = Literal["champion", "canary", "shadow", "asked"]
ANSWERING: tuple[Role, ...] = ("champion", "canary", "asked")
"""Roles whose rows somebody was answered with; a shadow's row has the request_id of such a row."""


LOADTEST_KEY = "loadtest-"
"""How the routing key of a load test's requests begins: the log tells them from traffic by it."""


_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def is_plain_name(name: str) -> bool:
    """True when it names an entry of a folder and nothing else. Ids that come from tables and tags are asked before they become paths."""
    return _PLAIN.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answer: the most probable label, its calibrated probability in [0, 1], and the runners-up, best first."""

    label: str
    probability: float
    alternatives: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision as a value.

    `kind` is a word of the decision ("promote", "reject", "steady", "warning", "drift", "insufficient", "retrain", "wait", "pass", "fail");
    `reasons` are sentences for people; `evidence` holds the numbers they rest on (JSON-serialisable).
    """

    kind: str
    reasons: tuple[str, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The labelled phrases of a moment, frozen. `logical_hash` is independent of row order."""

    dataset: str
    as_of: datetime
    rows: int
    logical_hash: str
    query_hash: str


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One trained version of a classifier: its number in MLflow and where its head lies."""

    classifier: str
    version: str
    head_location: str
    head_digest: str
    embedder_id: str

    @property
    def identity(self) -> str:
        """What an answer is remembered under: a number may come back with another head, in a registry begun anew."""
        return f"{self.version}:{self.head_digest}"


@dataclass(frozen=True, slots=True)
class Deployment:
    """One row of `deployment`: from `since` on, `version` plays `role` for `share` of the requests (0 to 1; 0: the role ends)."""

    model: ModelVersion
    role: Role
    share: float
    since: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Rollout:
    """Who plays which role for one classifier now; None: nobody."""

    champion: Deployment | None = None
    canary: Deployment | None = None
    shadow: Deployment | None = None


@dataclass(frozen=True, slots=True)
class Inference:
    """One answered (or shadowed) phrase, as logged. `occurred_at` is fixed when the row enters the journal."""

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
