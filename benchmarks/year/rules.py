"""The rulebook of the demo's practice: labels of terms, those of an event, the second of two."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from operations.simulation.events import RELABELLING, Event
from operations.simulation.rulebook import Rulebook, fill_share
from pipelines.source.practice import Practice

LabelKind = Literal["block", "chapter"]

TWO_LABELS = 0.03
"""Share of the traffic whose phrases truly have two labels."""
_SHARES = (0.6, 0.7, 0.8)
_COMMON = 0.004
_SEASON_BLOCKS = 6
_RARE = (3e-4, 3e-3)


@cache
def label_numbers(practice: Practice, kind: LabelKind) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of all labels of a kind, and the number of the label of each code."""
    of_code = [code.block if kind == "block" else code.chapter for code in practice.catalogue.codes]
    names = tuple(sorted(set(of_code)))
    number = {name: place for place, name in enumerate(names)}
    return names, np.array([number[name] for name in of_code])


@dataclass(eq=False)
class _Draft:
    """A rulebook at work: `frequency` of each term, `taken` terms that no other event may have."""

    practice: Practice
    names: list[str]
    label: np.ndarray
    frequency: np.ndarray
    taken: np.ndarray
    random: np.random.Generator

    @property
    def free_frequency(self) -> np.ndarray:
        return np.where(self.taken, 0.0, self.frequency)

    @property
    def common(self) -> np.ndarray:
        return np.flatnonzero(np.bincount(self.label, self.frequency) > _COMMON)


def write_rulebook(
    practice: Practice,
    terms: np.ndarray,
    *,
    kind: LabelKind,
    calendar: Iterable[Event],
    seed: int,
) -> Rulebook:
    """Draw the labels of a year; `terms` are rows of the past, which say how common each is."""
    names, label_of_code = label_numbers(practice, kind)
    label = label_of_code[practice.catalogue.code]
    frequency = np.bincount(terms, minlength=len(label)) / len(terms)
    random = np.random.default_rng((seed, 13))
    draft = _Draft(practice, list(names), label, frequency, np.zeros(len(label), bool), random)

    other, share = _two_labels(draft)
    draft.taken |= other >= 0

    changes: list[tuple[int, Event, np.ndarray]] = []
    for number, event in enumerate(calendar):
        if event.kind in RELABELLING:
            new = (
                _new_rule(draft, event.size) if event.kind == "rule" else _split(draft, event.size)
            )
            draft.taken |= new >= 0
            changes.append((number, event, new))

    season = _season(practice, terms)
    return Rulebook(tuple(draft.names), label, other, share, tuple(changes), season)


def _new_rule(draft: _Draft, size: float) -> np.ndarray:
    """Categories of the catalogue move to another common block until they make up `size`."""
    catalogue = draft.practice.catalogue
    codes = np.array([code.code[:3] for code in catalogue.codes])
    categories, number = np.unique(codes[catalogue.code], return_inverse=True)
    shares = np.bincount(number, draft.free_frequency, len(categories))
    new = np.full(len(draft.label), -1)
    for chosen in fill_share(shares, size=size, least=0.0008, random=draft.random):
        members = np.flatnonzero((number == chosen) & ~draft.taken)
        elsewhere = draft.common[draft.common != draft.label[members[0]]]
        new[members] = elsewhere[draft.random.integers(len(elsewhere))]
    return new


def _split(draft: _Draft, size: float) -> np.ndarray:
    """Labels that make up `size` are split: every second of their concepts gets a new label."""
    shares = np.bincount(draft.label, draft.free_frequency, len(draft.names))
    new = np.full(len(draft.label), -1)
    for chosen in fill_share(shares, size=size, least=0.004, random=draft.random):
        members = np.flatnonzero((draft.label == chosen) & ~draft.taken)
        concepts = draft.practice.catalogue.concept[members]
        own, place = np.unique(concepts, return_inverse=True)
        weight = np.bincount(place, draft.frequency[members], len(own))
        rank = np.argsort(np.argsort(-weight, kind="stable"))
        new[members[rank[place] % 2 == 0]] = len(draft.names)
        draft.names.append(f"{draft.names[chosen]}.2")
    return new


def _two_labels(draft: _Draft) -> tuple[np.ndarray, np.ndarray]:
    """Some of the common terms have two labels, in the past and in every year alike."""
    random = np.random.default_rng(20260103)
    terms = len(draft.label)
    other = np.full(terms, -1)
    share = np.ones(terms)
    shares = random.choice(_SHARES, terms)
    targets = random.choice(draft.common, terms)
    total = 0.0
    for term in random.permutation(np.flatnonzero(draft.frequency >= 3e-4)).tolist():
        if total >= TWO_LABELS:
            break
        if targets[term] != draft.label[term]:
            other[term] = targets[term]
            share[term] = shares[term]
            total += draft.frequency[term]
    return other, share


def _season(practice: Practice, terms: np.ndarray) -> np.ndarray:
    """Rare blocks of the practice, the same in every year."""
    blocks = practice.catalogue.block
    frequency = np.bincount(blocks[terms], minlength=len(practice.catalogue.blocks)) / len(terms)
    rare = np.flatnonzero((frequency > _RARE[0]) & (frequency < _RARE[1]))
    return np.random.default_rng(20260104).choice(rare, _SEASON_BLOCKS, replace=False)
