"""The memory of phrases, renewed in place: equal to `build_memory` of the same labels, and quicker.

A year has hundreds of revisions; only phrases that had a new label since the last are weighed anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import numpy as np

from pipelines.memory.evidence import Evidence, weigh_labels


@dataclass(frozen=True, slots=True)
class GivenLabel:
    """One label of a phrase; `author` is "" for rows of the source, which count one by one."""

    row: str
    cleaned: str
    label: str
    received_at: datetime
    author: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class PhraseEvidence:
    """`probability = head_share * head + weights` over `labels`."""

    head_share: float
    labels: tuple[str, ...]
    weights: np.ndarray


class RunningMemory:
    """The labels of every phrase, and the evidence of the newest revision."""

    def __init__(self) -> None:
        self.evidence: dict[str, PhraseEvidence] = {}
        self._labels: dict[str, dict[str, GivenLabel]] = {}
        self._waiting: set[str] = set()

    def add(self, labels: Iterable[GivenLabel]) -> None:
        """Take labels for the next revision; a person's label of a row replaces the source's."""
        for given in labels:
            of_phrase = self._labels.setdefault(given.cleaned, {})
            known = of_phrase.get(given.row)
            if known is None or given.author or not known.author:
                of_phrase[given.row] = given
                self._waiting.add(given.cleaned)

    def renew(self) -> set[str]:
        """Make a revision; return the phrases whose evidence may differ from the one before."""
        changed = self._waiting
        self._waiting = set()
        for cleaned in changed:
            self.evidence[cleaned] = _weigh(self._labels[cleaned])
        return changed


def _weigh(labels: Mapping[str, GivenLabel]) -> PhraseEvidence:
    """In order of receipt; one act of one person on a phrase counts once a day, its last label."""
    ordered = sorted(labels.values(), key=lambda given: given.received_at)
    acts: dict[object, GivenLabel] = {}
    for given in ordered:
        act = (given.author, given.received_at.date()) if given.author else given.row
        acts.pop(act, None)
        acts[act] = given
    names = sorted({given.label for given in acts.values()})
    number = {name: place for place, name in enumerate(names)}
    codes = tuple(number[given.label] for given in acts.values())
    evidence = _weigh_codes(codes, len(names))
    return PhraseEvidence(evidence.head_share, tuple(names), evidence.weights)


@lru_cache(maxsize=200_000)
def _weigh_codes(codes: tuple[int, ...], labels: int) -> Evidence:
    """Each retraining weighs the same past again."""
    return weigh_labels(codes, labels=labels)
