"""Which version answers a request. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from core.errors import UnknownClassifier

Live = TypeVar("Live")


def route(live: Mapping[str, Live], classifier: str) -> Live:
    """Return what answers for the classifier: its champion. Raises `UnknownClassifier` naming the known ones."""
    if classifier not in live:
        known = ", ".join(sorted(live)) or "none yet"
        raise UnknownClassifier(f"one of: {known}", came=classifier[:80], do="see GET /v1/classifiers")
    return live[classifier]
