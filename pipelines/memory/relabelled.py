"""Relabellings: changes from one label to another that several phrases share. Pure.

One correction of a phrase with a long past may be a mistake, so that it must not decide. When
people change other phrases in the same way, it is part of a new rule, or of a label that was split.
Then one label decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import pdtrc

from pipelines.memory.evidence import WRONG
from pipelines.model.arrays import Bool, Float64, Int64

LEAST_PAST = 3
"""Agreeing labels of a phrase just before one that is new for it; fewer may be mistakes."""
LEAST_PHRASES = 2
DAYS = 90
"""Changes that share a relabelling come within so many days."""
LEVEL = 1e-3
"""Chance that as many changes in DAYS are mistakes of people."""
_PRIOR_MISTAKES = 10.0
"""Mistakes that are assumed before any was seen, between labels as frequent as these are."""
NEVER = np.iinfo(np.int64).max
_WINDOW = DAYS * 86_400_000_000


@dataclass(frozen=True, eq=False)
class Changes:
    """Labels that are new for a phrase, each right after LEAST_PAST of another; arrays (n,).

    Attributes
    ----------
    old, new : numbers of labels
    at : microseconds since the epoch
    decided : True where the label is from people who saw the answer
    returned : True where the next label of the phrase is the old one again
    """

    old: Int64
    new: Int64
    at: Int64
    decided: Bool
    returned: Bool


def find_changes(phrase_of: Int64, codes: Int64) -> tuple[Int64, Bool]:
    """Return the places of the changes, and which of them were taken back: bool (changes,).

    Parameters
    ----------
    phrase_of : (n,), ascending, so that the labels of a phrase are neighbours
    codes : numbers of labels, (n,), those of one phrase in order of receipt
    """
    pair = phrase_of * (codes.max(initial=0) + 1) + codes
    first = np.zeros(len(pair), bool)
    first[np.unique(pair, return_index=True)[1]] = True
    changes = np.flatnonzero(first)
    changes = changes[changes >= LEAST_PAST]
    for back in range(1, LEAST_PAST + 1):
        changes = changes[pair[changes - back] == pair[changes - 1]]
    changes = changes[phrase_of[changes - 1] == phrase_of[changes]]
    following = np.minimum(changes + 1, len(pair) - 1)
    return changes, pair[following] == pair[changes - 1]


def known_since(changes: Changes, *, decided_at: Int64, shares: Float64) -> Int64:
    """Return since when each change is known to be part of a relabelling, (n,); or NEVER.

    A relabelling is known once at least LEAST_PHRASES phrases were changed within DAYS, more than
    the mistakes among all decisions of these days explain: a Poisson test at LEVEL. How many of
    them are mistakes of this kind is estimated from the changes that were taken back. It reaches
    from the first of these changes to DAYS after the last.

    Parameters
    ----------
    decided_at : when people who saw the answer gave any label, ascending; microseconds
    shares : how frequent each label is, (labels,)
    """
    known = np.full(len(changes.at), NEVER)
    counted = changes.decided & ~changes.returned
    labels = len(shares)
    pair = changes.old * labels + changes.new
    own, times = np.unique(pair[counted], return_counts=True)
    any_pair = 1 - float(shares @ shares)
    for candidate in own[times >= LEAST_PHRASES].tolist():
        old, new = divmod(candidate, labels)
        members = pair == candidate
        taken_back = int((members & changes.returned).sum())
        assumed = _PRIOR_MISTAKES * float(shares[old] * shares[new]) / any_pair
        kind = (taken_back + assumed) / (int(changes.returned.sum()) + _PRIOR_MISTAKES)
        decided = np.sort(changes.at[members & counted])
        waiting = members & ~changes.returned
        known[waiting] = _covered(changes.at[waiting], decided, decided_at, WRONG * kind)
    return known


def _covered(at: Int64, decided: Int64, decided_at: Int64, mistakes: float) -> Int64:
    """Return since when each moment is covered; `mistakes` is the expected share of decisions."""
    known = np.full(len(at), NEVER)
    oldest = np.searchsorted(decided, decided - _WINDOW, side="right")
    for newest, first in enumerate(oldest.tolist()):
        last = decided[newest]
        phrases = newest - first + 1
        until = np.searchsorted(decided_at, last, side="right")
        decisions = until - np.searchsorted(decided_at, last - _WINDOW, side="right")
        by_chance = pdtrc(phrases - 1, decisions * mistakes)
        if phrases >= LEAST_PHRASES and by_chance <= LEVEL:
            covered = (at >= decided[first]) & (at <= last + _WINDOW)
            known[covered] = np.minimum(known[covered], last)
    return known


def relabelled_since(phrase_of: Int64, codes: Int64, received: Int64, decided: Bool) -> Int64:
    """Return for each label since when it is known to be part of a relabelling, (n,), or NEVER.

    Parameters
    ----------
    phrase_of, codes : as for `find_changes`
    received : microseconds since the epoch, (n,)
    decided : True for labels by people who saw the answer
    """
    since = np.full(len(codes), NEVER)
    if decided.sum() < LEAST_PHRASES:
        return since
    places, returned = find_changes(phrase_of, codes)
    changes = Changes(
        old=codes[places - 1],
        new=codes[places],
        at=received[places],
        decided=decided[places],
        returned=returned,
    )
    shares = np.bincount(codes) / len(codes)
    since[places] = known_since(changes, decided_at=np.sort(received[decided]), shares=shares)
    return since
