"""Which classifiers are served together: each group has its own bento, process and port."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from core.errors import UnknownClassifier

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class Group:
    """Some classifiers, by name.

    `number` counts from 1. `elsewhere` are the names of all other groups. The first group also
    serves every classifier that no group names.
    """

    number: int
    names: frozenset[str]
    elsewhere: frozenset[str]

    def serves(self, classifier: str) -> bool:
        """Return True when this group answers for the classifier."""
        if self.number == 1:
            return classifier not in self.elsewhere
        return classifier in self.names


def parse_groups(text: str) -> tuple[Group, ...]:
    """Read `chapter,block;encounter_phase`; an empty text is one group of all classifiers.

    Raises ValueError.
    """
    members = _split(text)
    names = [name for group in members for name in group]
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is not the name of a classifier; "
                "write groups such as `chapter,block;encounter_phase`"
            )
        if names.count(name) > 1:
            raise ValueError(f"a classifier belongs to one group, and {name} is named twice")
    return tuple(
        Group(number, frozenset(group), frozenset(names) - set(group))
        for number, group in enumerate(members, 1)
    )


def _split(text: str) -> list[list[str]]:
    if not text.strip():
        return [[]]
    return [[name.strip() for name in part.split(",")] for part in text.split(";")]


def group_of(groups: Iterable[Group], classifier: str) -> Group:
    """Return the group that serves the classifier."""
    return next(group for group in groups if group.serves(classifier))


def refuse_unknown(groups: Iterable[Group], known: Iterable[str]) -> None:
    """Raise `UnknownClassifier` when a group names an unknown classifier.

    A typing error would silently move the classifier to the first group.
    """
    names = set(known)
    for name in sorted(set().union(*(group.names for group in groups)) - names):
        raise UnknownClassifier(
            f"one of {', '.join(sorted(names))}",
            came=f"{name} in PERENNIAL_BENTOS",
            do="correct PERENNIAL_BENTOS",
        )
