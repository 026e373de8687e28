"""The labels that a reviewer chooses from, with what they mean where somebody has written it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from console.champion_labels import champion_labels
from console.state import ConsoleState
from core.errors import InvalidFeedback

SHOWN = 5


@dataclass(frozen=True)
class DescribedLabel:
    """A label; `description` is empty where nobody has written one."""

    name: str
    description: str = ""


def label_choice(state: ConsoleState, classifier: str) -> list[DescribedLabel]:
    """Return the labels of the champion, by name; none without a champion."""
    with state.reading() as connection:
        names = champion_labels(connection, classifier) or ()
    described = label_descriptions(state.settings.repository, classifier)
    return [DescribedLabel(name, described.get(name, "")) for name in sorted(names)]


def label_descriptions(repository: Path, classifier: str) -> Mapping[str, str]:
    """Return label -> description of `queries/labels/CLASSIFIER.csv`.

    Empty where there is no such file with the columns label and description in UTF-8.
    """
    file = repository / "queries" / "labels" / f"{classifier}.csv"
    try:
        return _read(file, file.stat().st_mtime_ns)
    except (OSError, UnicodeDecodeError, csv.Error):
        return {}


@lru_cache(maxsize=64)
def _read(file: Path, _changed: int) -> dict[str, str]:
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return {
        row["label"]: row["description"]
        for row in rows
        if row.get("label") and row.get("description")
    }


def find_label(labels: Sequence[DescribedLabel], text: str) -> str:
    """Return the one label that a text means: its name, or words of its name or description.

    Raises `InvalidFeedback` when none or several match.
    """
    wanted = text.casefold().split()
    if any(label.name == text.strip() for label in labels):
        return text.strip()
    matching = [
        label.name
        for label in labels
        if all(word in f"{label.name} {label.description}".casefold() for word in wanted)
    ]
    if len(matching) == 1 and wanted:
        return matching[0]
    matches = f"{text[:80]!r}, which matches {len(matching)}"
    examples = f": {', '.join(matching[:SHOWN])}" if matching else ""
    raise InvalidFeedback("one label", came=matches, do=f"write more of its name{examples}")
