"""The memory of phrases, renewed in place: equal to `build_memory` of the same labels, and quicker.

A year has hundreds of revisions; only phrases that had a new label since the last, or that a
relabelling reached, are weighed anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, timedelta
from functools import lru_cache

import numpy as np

from operations.simulation.world import EPOCH
from pipelines.memory.build import CORRECTION, DECIDING, pack_memory
from pipelines.memory.evidence import (
    Evidence,
    Runs,
    extend_runs,
    mix_runs,
    no_run,
    repeat_deciding,
    weigh_labels,
)
from pipelines.memory.mixed_labels import expected_corrections
from pipelines.memory.relabelled import NOBODY, Changes, find_changes, shared_changes
from pipelines.model.memory import Memory

_CHUNK = 64
"""Labels of a phrase between two stages of weighing that are kept."""


@dataclass(frozen=True, slots=True)
class GivenLabel:
    """One label of a phrase; `author` is "" for rows of the source, which count one by one."""

    row: str
    cleaned: str
    label: str
    received_at: datetime
    author: str = ""
    kind: str = ""
    occurred_at: datetime | None = None
    """When the source's row occurred that a person's label replaces."""


@dataclass(frozen=True, eq=False, slots=True)
class PhraseEvidence:
    """`probability = head_share * head + weights` over `labels`."""

    head_share: float
    labels: tuple[str, ...]
    weights: np.ndarray


class _CountedLabels:
    """The labels of one phrase as they count, in order of receipt."""

    def __init__(
        self,
        labels: Collection[GivenLabel],
        number: dict[str, int],
        act_number: dict[tuple[str, date], int],
    ) -> None:
        self.labels = _count_acts(labels)
        at = np.array([_microseconds(given.received_at) for given in self.labels], np.int64)
        names = [number.setdefault(given.label, len(number)) for given in self.labels]
        self.codes = np.array(names, np.int64)
        self.deciding = [given.kind in DECIDING for given in self.labels]
        acts = np.full(len(names), NOBODY)
        for place in np.flatnonzero(self.deciding).tolist():
            act = (self.labels[place].author, self.labels[place].received_at.date())
            acts[place] = act_number.setdefault(act, len(act_number))
        self.decided_at = at[self.deciding]
        phrase = np.zeros(len(names), np.int64)
        self.places, self.changes = find_changes(phrase, self.codes, at, acts)


class RunningMemory:
    """The labels of every phrase, and the evidence of the newest revision."""

    def __init__(self) -> None:
        self.evidence: dict[str, PhraseEvidence] = {}
        self.renewals = 0
        self._labels: dict[str, dict[str, GivenLabel]] = {}
        self._waiting: set[str] = set()
        self._counted: dict[str, _CountedLabels] = {}
        self._of_interest: set[str] = set()
        self._number: dict[str, int] = {}
        self._act_number: dict[tuple[str, date], int] = {}
        self._label_counts: Counter[int] = Counter()
        self._relabelled: dict[str, frozenset[int]] = {}

    def add(self, labels: Iterable[GivenLabel]) -> None:
        """Take labels for the next revision; a person's label of a row replaces the source's."""
        for given in labels:
            of_phrase = self._labels.setdefault(given.cleaned, {})
            known = of_phrase.get(given.row)
            of_phrase[given.row] = given if known is None else _of_one_row(known, given)
            self._waiting.add(given.cleaned)

    def renew(self) -> set[str]:
        """Make a revision; return the phrases whose evidence may differ from the one before."""
        self.renewals += 1
        changed = self._waiting
        self._waiting = set()

        for cleaned in changed:
            if cleaned in self._counted:
                self._label_counts.subtract(self._counted[cleaned].codes.tolist())
            acts = _CountedLabels(self._labels[cleaned].values(), self._number, self._act_number)
            self._counted[cleaned] = acts
            self._label_counts.update(acts.codes.tolist())
            if len(acts.places) or any(acts.deciding):
                self._of_interest.add(cleaned)

        before = self._relabelled
        self._relabelled = relabelled = self._find_relabelled()
        reached = before.keys() | relabelled.keys()
        changed |= {name for name in reached if before.get(name) != relabelled.get(name)}

        for cleaned in changed:
            shared = relabelled.get(cleaned, frozenset())
            self.evidence[cleaned] = _weigh(self._counted[cleaned], shared)
        return changed

    def packed(self, *, classifier: str, revision: int) -> Memory:
        """Return the newest revision as services and the watch read it."""
        phrases = sorted(self.evidence)
        names = sorted({label for given in self.evidence.values() for label in given.labels})
        code_of = {name: code for code, name in enumerate(names)}
        rows = [
            (own.head_share, np.array([code_of[label] for label in own.labels]), own.weights)
            for own in map(self.evidence.__getitem__, phrases)
        ]
        return pack_memory(phrases, rows, names=names, classifier=classifier, revision=revision)

    def _find_relabelled(self) -> dict[str, frozenset[int]]:
        """Return the places of the labels of each phrase that are part of a relabelling."""
        phrases = sorted(self._of_interest)
        if not phrases:
            return {}
        parts = [self._counted[cleaned].changes for cleaned in phrases]
        columns = [field.name for field in fields(Changes)]
        joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in columns}
        decided_at = [self._counted[cleaned].decided_at for cleaned in phrases]
        counts = np.array([self._label_counts[code] for code in range(len(self._number))])
        shared = shared_changes(
            Changes(**joined),
            decided_at=np.sort(np.concatenate(decided_at)),
            shares=counts / counts.sum(),
        )
        known = np.split(shared, np.cumsum([len(part.at) for part in parts])[:-1])
        return {
            cleaned: frozenset(self._counted[cleaned].places[own].tolist())
            for cleaned, own in zip(phrases, known, strict=True)
            if own.any()
        }


def evidence_of_rows(cleaned: Sequence[str], labels: Sequence[str]) -> dict[str, PhraseEvidence]:
    """What rows of the source say of each phrase, every row counted once; rows in order of time."""
    phrases, phrase_of = np.unique(np.array(cleaned, dtype=object), return_inverse=True)
    names, codes = np.unique(np.array(labels, dtype=object), return_inverse=True)
    order = np.argsort(phrase_of, kind="stable")
    bounds = np.flatnonzero(np.diff(phrase_of[order])) + 1
    members = np.split(codes[order], bounds) if len(order) else []
    return {
        phrase: _of_codes(own.tolist(), names)
        for phrase, own in zip(phrases.tolist(), members, strict=True)
    }


def _of_codes(codes: list[int], names: np.ndarray) -> PhraseEvidence:
    own = sorted(set(codes))
    number = {code: place for place, code in enumerate(own)}
    evidence = _weigh_codes(tuple([number[code] for code in codes]), len(own))
    return PhraseEvidence(evidence.head_share, tuple(names[own].tolist()), evidence.weights)


def _of_one_row(known: GivenLabel, given: GivenLabel) -> GivenLabel:
    """A person's label of a row replaces the source's, whichever came first."""
    if not (known.author or given.author):
        return given
    person = given if given.author else known
    source = [label.received_at for label in (known, given) if not label.author]
    return replace(person, occurred_at=source[0] if source else known.occurred_at)


def _count_acts(labels: Collection[GivenLabel]) -> list[GivenLabel]:
    """In order of receipt; one act of one person on a phrase counts once a day, its last label."""
    ordered = sorted(_without_expected(labels), key=lambda given: given.received_at)
    acts: dict[object, GivenLabel] = {}
    for given in ordered:
        act = (given.author, given.received_at.date()) if given.author else given.row
        acts.pop(act, None)
        acts[act] = given
    return list(acts.values())


def _weigh(acts: _CountedLabels, relabelled: Collection[int]) -> PhraseEvidence:
    names = sorted({given.label for given in acts.labels})
    number = {name: place for place, name in enumerate(names)}
    codes = [number[given.label] for given in acts.labels]
    shared = [place in relabelled for place in range(len(codes))]
    counted = repeat_deciding(codes, acts.deciding, shared)
    evidence = _weigh_codes(tuple(counted), len(names))
    return PhraseEvidence(evidence.head_share, tuple(names), evidence.weights)


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def _without_expected(labels: Collection[GivenLabel]) -> list[GivenLabel]:
    """As `join_labels`: a correction to a habitual label counts as the row of the source."""
    if not any(given.kind == CORRECTION for given in labels):
        return list(labels)
    ordered = sorted(labels, key=lambda given: given.received_at)
    corrections = [given.kind == CORRECTION for given in ordered]
    counted = []
    expected = expected_corrections([given.label for given in ordered], corrections)
    for given, says_nothing in zip(ordered, expected, strict=True):
        if not says_nothing:
            counted.append(given)
        elif given.occurred_at is not None:
            as_source = replace(given, author="", kind="", received_at=given.occurred_at)
            counted.append(as_source)
    return counted


@lru_cache(maxsize=200_000)
def _weigh_codes(codes: tuple[int, ...], labels: int) -> Evidence:
    """Each retraining weighs the same past again."""
    if labels == 1 or len(codes) < _CHUNK:
        return weigh_labels(codes, labels=labels)
    return mix_runs(_runs_of(codes, labels))


def _runs_of(codes: tuple[int, ...], labels: int) -> Runs:
    """Go on from the longest part of this past that was weighed before, in whole chunks."""
    known = len(codes) // _CHUNK * _CHUNK
    return extend_runs(_runs_of_chunks(codes[:known], labels), codes[known:])


@lru_cache(maxsize=50_000)
def _runs_of_chunks(codes: tuple[int, ...], labels: int) -> Runs:
    if not codes:
        return no_run(labels)
    return extend_runs(_runs_of_chunks(codes[:-_CHUNK], labels), codes[-_CHUNK:])
