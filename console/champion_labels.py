"""The labels that a person may choose from: those of the champion."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from sqlalchemy.engine import Connection

from core.deployments import current_champions
from core.errors import HeadRefused
from pipelines.model.head_file import load_head


def champion_labels(connection: Connection, classifier: str) -> tuple[str, ...] | None:
    """Return the labels, in the order of the head.

    None without a champion, or where its head cannot be read: then no label is refused.
    """
    champion = current_champions(connection).get(classifier)
    if champion is None:
        return None
    try:
        return _labels(champion.model.head_location, champion.model.head_digest)
    except HeadRefused:
        return None


@lru_cache(maxsize=64)
def _labels(location: str, _digest: str) -> tuple[str, ...]:
    return load_head(Path(location)).labels
