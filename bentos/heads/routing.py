"""Which version answers a request. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import TypeVar

from core.errors import UnknownClassifier

POSITION_BYTES = 6  # 48 bits: exact in a float, so that every position is below 1
_POSITIONS: int = 256**POSITION_BYTES
Live = TypeVar("Live")


def route(live: Mapping[str, Live], classifier: str) -> Live:
    """Return what answers for the classifier. Raises `UnknownClassifier`, which names the known."""
    if classifier not in live:
        known = ", ".join(sorted(live)) or "none yet"
        raise UnknownClassifier(
            f"one of: {known}", came=classifier[:80], do="see GET /v1/classifiers"
        )
    return live[classifier]


def meets_canary(identity: str, *, classifier: str, version: str, share: float) -> bool:
    """Return whether a canary answers this key or phrase. Equal arguments give equal results.

    `share` is in [0, 1]; an identity that meets the canary at one share meets it at any larger one.
    Classifier and version are the salt, so that two rollouts do not meet the same clients.
    """
    return position(identity, salt=f"{classifier}\0{version}") < share


def position(identity: str, *, salt: str) -> float:
    """Hash the identity to [0, 1), uniformly and independently for each salt."""
    digest = blake2b(f"{salt}\0{identity}".encode(), digest_size=POSITION_BYTES).digest()
    return int.from_bytes(digest) / _POSITIONS
