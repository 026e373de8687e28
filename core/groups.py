"""Which classifiers are served together: groups, each packed as a bento and served by a process and a port of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from core.errors import UnknownClassifier

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class Group:
    """`number` counts from 1. The first group also takes every classifier that no group names."""

    number: int
    names: frozenset[str]
    elsewhere: frozenset[str]

    def serves(self, classifier: str) -> bool:
        """True when this group answers for the classifier."""
        return classifier not in self.elsewhere if self.number == 1 else classifier in self.names


def parse_groups(text: str) -> tuple[Group, ...]:
    """Read `chapter,block;encounter_phase`; an empty text is one group of all. Raises ValueError."""
    named = (
        [[name.strip() for name in part.split(",")] for part in text.split(";")]
        if text.strip()
        else [[]]
    )
    every = [name for names in named for name in names]
    if wrong := [name for name in every if not _NAME.fullmatch(name)]:
        raise ValueError(
            f"groups such as `chapter,block;encounter_phase` are wanted, {wrong[0]!r} is no name of a classifier"
        )
    if twice := {name for name in every if every.count(name) > 1}:
        raise ValueError(f"a classifier belongs to one group, {min(twice)} is named twice")
    return tuple(
        Group(place, frozenset(names), frozenset(every) - set(names))
        for place, names in enumerate(named, 1)
    )


def group_of(groups: Iterable[Group], classifier: str) -> Group:
    """The one group that serves the classifier."""
    return next(group for group in groups if group.serves(classifier))


def refuse_unknown(groups: Iterable[Group], known: Iterable[str]) -> None:
    """Raise `UnknownClassifier` when a group names what is none: a slip of the pen would move a classifier to the first group."""
    names = set(known)
    for name in sorted(set().union(*(group.names for group in groups)) - names):
        raise UnknownClassifier(
            f"one of {', '.join(sorted(names))}",
            came=f"{name} in PERENNIAL_BENTOS",
            do="correct PERENNIAL_BENTOS",
        )
