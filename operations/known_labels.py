"""Reads the labels that the champions know, to check imported feedback against them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy.engine import Connection

from core.deployments import current_champions
from core.errors import HeadRefused
from pipelines.model.head_file import load_head


def known_labels(
    connection: Connection, *, report: Callable[[str], None]
) -> Mapping[str, frozenset[str]]:
    """Return the labels of every champion, by classifier.

    A champion whose head cannot be read is reported and left out, so that its feedback is accepted
    unchecked.
    """
    labels: dict[str, frozenset[str]] = {}
    for name, row in current_champions(connection).items():
        try:
            labels[name] = frozenset(load_head(Path(row.model.head_location)).labels)
        except HeadRefused as error:
            report(f"labels of {name} are not checked: {error}")
    return labels
