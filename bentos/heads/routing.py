"""Which version answers a request. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import TypeVar

from core.errors import UnknownClassifier

POSITION_BYTES = 6  # 48 bits: exact in a float, so that every position is below 1
Live = TypeVar("Live")


def route(live: Mapping[str, Live], classifier: str) -> Live:
    """Return what answers for the classifier. Raises `UnknownClassifier` naming the known ones."""
    if classifier not in live:
        known = ", ".join(sorted(live)) or "none yet"
        raise UnknownClassifier(
            f"one of: {known}", came=classifier[:80], do="see GET /v1/classifiers"
        )
    return live[classifier]


def meets_canary(identity: str, *, classifier: str, version: str, share: float) -> bool:
    """Whether a canary answers this key or phrase: always the same for equal arguments, and who meets it at a share meets it at any larger.

    `share` in [0, 1]. Classifier and version are the salt: two rollouts do not fall on the same clients.
    """
    return position(identity, salt=f"{classifier}\0{version}") < share


def position(identity: str, *, salt: str) -> float:
    """Where a hash puts the identity: in [0, 1), spread evenly, unrelated between salts."""
    digest = blake2b(f"{salt}\0{identity}".encode(), digest_size=POSITION_BYTES).digest()
    return int.from_bytes(digest) / 256**POSITION_BYTES
