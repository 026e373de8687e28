"""Slices in which mistakes are frequent beyond chance, with a controlled share of false ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import false_discovery_control, hypergeom

from pipelines.errors.slices import Slice
from pipelines.model.arrays import Float64, Int64

FALSE_DISCOVERY = 0.05
"""Share of false ones among the patterns that are named, on average at most."""
OVERLAP = 0.5
"""Share of the smaller one's mistaken phrases from which on two patterns are the same."""


@dataclass(frozen=True)
class Pattern:
    """A slice with too many mistakes, and those that consist of the same mistakes.

    `p_value` is that of the slice alone, `adjusted` that among all slices tested.
    """

    slice: Slice
    p_value: float
    adjusted: float
    also: tuple[Slice, ...]


@dataclass(frozen=True)
class PatternSearch:
    """The patterns found, the strongest first, among so many slices tested."""

    patterns: tuple[Pattern, ...]
    tested: int


def find_patterns(slices: Sequence[Slice]) -> PatternSearch:
    """Test every slice that could be proved, and merge those found that overlap.

    Given how many phrases are mistaken, chance would spread them over inside and outside like
    drawn balls (Fisher's exact test, one-sided). Slices of which even the clearest result would
    prove nothing are not tested (Tarone 1990). Benjamini and Yekutieli's correction holds whatever
    the slices have in common.
    """
    counts = _Counts.of(slices)
    provable = counts.p_values(counts.most_possible()) <= FALSE_DISCOVERY
    tested = [part for part, is_provable in zip(slices, provable, strict=True) if is_provable]
    p_values = counts.p_values(counts.mistaken)[provable]
    adjusted = false_discovery_control(p_values, method="by") if len(tested) else p_values
    patterns = [
        Pattern(part, float(p_value), float(corrected), ())
        for part, p_value, corrected in zip(tested, p_values, adjusted, strict=True)
        if corrected <= FALSE_DISCOVERY
    ]
    ranked = sorted(patterns, key=lambda it: (it.p_value, -it.slice.mistaken, it.slice.name))
    return PatternSearch(tuple(_merge(ranked)), len(tested))


@dataclass(frozen=True)
class _Counts:
    """Phrases inside, all phrases, all mistaken ones, mistaken ones inside: int (slices,) each."""

    phrases: Int64
    total: Int64
    every: Int64
    mistaken: Int64

    @classmethod
    def of(cls, slices: Sequence[Slice]) -> _Counts:
        """Return the counts of the slices."""
        table = [
            (
                part.phrases,
                part.phrases + part.others,
                part.mistaken + part.others_mistaken,
                part.mistaken,
            )
            for part in slices
        ]
        return cls(*np.array(table, np.int64).reshape(-1, 4).T)

    def most_possible(self) -> Int64:
        """Return how many mistaken phrases the margins allow inside."""
        most: Int64 = np.minimum(self.phrases, self.every)
        return most

    def p_values(self, mistaken: Int64) -> Float64:
        """Return the probability of so many mistaken phrases inside, or more."""
        values: Float64 = hypergeom.sf(mistaken - 1, self.total, self.every, self.phrases)
        return values


def _merge(ranked: Sequence[Pattern]) -> list[Pattern]:
    """Put each pattern under the first stronger one that shares OVERLAP of its mistakes."""
    merged: list[Pattern] = []
    for pattern in ranked:
        place = next(
            (place for place, kept in enumerate(merged) if _overlap(kept, pattern) >= OVERLAP), None
        )
        if place is None:
            merged.append(pattern)
            continue
        kept = merged[place]
        merged[place] = Pattern(
            kept.slice, kept.p_value, kept.adjusted, (*kept.also, pattern.slice)
        )
    return merged


def _overlap(left: Pattern, right: Pattern) -> float:
    if left.slice.among != right.slice.among:
        return 0.0
    shared = len(np.intersect1d(left.slice.wrong, right.slice.wrong))
    return shared / max(min(left.slice.mistaken, right.slice.mistaken), 1)
