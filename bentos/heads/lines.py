"""Which line of versions answers a question in a region. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from pipelines.model.head_file import Line

Lines = Mapping[str, Mapping[str, str]]
"""Question -> region -> the classifier that answers it there."""


def lines_by_question(champions: Iterable[tuple[str, Line | None]]) -> Lines:
    """Return the lines of the classifiers, by name in that order, whose champion has one."""
    questions: dict[str, dict[str, str]] = {}
    for name, line in sorted(champions, key=lambda champion: champion[0]):
        if line is not None:
            questions.setdefault(line.of, {})[line.value] = name
    return MappingProxyType(questions)
