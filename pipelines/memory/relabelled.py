"""Relabellings: changes from one label to another that several phrases share. Pure.

One correction of a phrase with a long past may be a mistake, so that it must not decide. When
people change other phrases in the same way, it is part of a new rule, or of a label that was split.
Then one label decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from scipy.special import pdtrc

from pipelines.memory.evidence import WRONG
from pipelines.model.arrays import Bool, Float64, Int64

LEAST_PAST = 3
"""Agreeing labels of a phrase just before another one; fewer may be mistakes."""
LEAST_PHRASES = 2
DAYS = 90
"""Changes that share a relabelling come within so many days."""
LEVEL = 1e-3
"""Chance that as many changes in DAYS are mistakes of people."""
_PRIOR_MISTAKES = 10.0
"""Mistakes that are assumed before any was seen: of each label, all to the same other one."""
NEVER = np.iinfo(np.int64).max
NOBODY = -1
_WINDOW = DAYS * 86_400_000_000


@dataclass(frozen=True, eq=False)
class Changes:
    """Labels of phrases, each right after LEAST_PAST of another one; arrays (n,).

    Attributes
    ----------
    old, new : numbers of labels
    at : when the label was received, in microseconds since the epoch
    act : number of the act, of one person on one day, of people who saw the answer; or NOBODY
    returned_at : when the next label of the phrase was received, where that is the old one again;
        or NEVER
    """

    old: Int64
    new: Int64
    at: Int64
    act: Int64
    returned_at: Int64

    def only(self, chosen: Int64 | Bool) -> Changes:
        """Return the changes at these places, or where `chosen` is True."""
        return Changes(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})


def find_changes(
    phrase_of: Int64, codes: Int64, received: Int64, acts: Int64
) -> tuple[Int64, Changes]:
    """Return the places of the changes among all labels, and the changes.

    Parameters
    ----------
    phrase_of : (n,), ascending, so that the labels of a phrase are neighbours
    codes : numbers of labels, (n,), those of one phrase in order of receipt
    received : microseconds since the epoch, (n,)
    acts : as `Changes.act`, (n,)
    """
    pair = phrase_of * (codes.max(initial=0) + 1) + codes
    places = np.arange(LEAST_PAST, len(pair))
    for back in range(2, LEAST_PAST + 1):
        places = places[pair[places - back] == pair[places - 1]]
    places = places[phrase_of[places - 1] == phrase_of[places]]
    places = places[pair[places - 1] != pair[places]]
    following = np.minimum(places + 1, len(pair) - 1)
    returned = pair[following] == pair[places - 1]
    changes = Changes(
        old=codes[places - 1],
        new=codes[places],
        at=received[places],
        act=acts[places],
        returned_at=np.where(returned, received[following], NEVER),
    )
    return places, changes


def shared_changes(changes: Changes, *, decided_at: Int64, shares: Float64) -> Bool:
    """Mark the changes that are part of a relabelling, bool (n,).

    A relabelling is known once people changed at least LEAST_PHRASES phrases alike within DAYS, by
    as many acts, more often than mistakes explain: a Poisson test at LEVEL. It reaches from the
    first of these changes to DAYS after the last. A change that was taken back is no part of it.

    WRONG of all decisions of these days are expected to be mistakes. How many of them are of this
    kind is estimated from the changes that were taken back in these days. As many as people made in
    the opposite direction are expected on top: labels that are confused are confused both ways.

    Parameters
    ----------
    decided_at : when people who saw the answer gave any label, ascending; microseconds
    shares : how frequent each label is, (labels,)
    """
    shared = np.zeros(len(changes.at), bool)
    returned_at = np.sort(changes.returned_at[changes.returned_at < NEVER])
    for members, pair, opposite in _decided_pairs(changes, labels=len(shares)):
        stays = pair.returned_at == NEVER
        decided = _one_per_act(pair.only(stays & (pair.act != NOBODY)))
        mistakes = _Mistakes(
            decided_at=decided_at,
            returned_at=returned_at,
            of_this_kind=np.sort(pair.returned_at[~stays]),
            opposite=_one_per_act(opposite),
            share=float(shares[pair.old[0]]),
        )
        shared[members[stays]] = _covered(pair.at[stays], decided, mistakes)
    return shared


def _decided_pairs(changes: Changes, *, labels: int) -> Iterator[tuple[Int64, Changes, Changes]]:
    """Yield the changes of each pair that people made LEAST_PHRASES times, with their places.

    The third are the changes by people in the opposite direction.
    """
    number = changes.old * labels + changes.new
    order = np.argsort(number, kind="stable")
    ordered = number[order]
    decided = (changes.act != NOBODY) & (changes.returned_at == NEVER)
    pairs, times = np.unique(number[decided], return_counts=True)
    for pair in pairs[times >= LEAST_PHRASES].tolist():
        old, new = divmod(pair, labels)
        bounds = np.searchsorted(ordered, [pair, pair + 1])
        back = np.searchsorted(ordered, [new * labels + old, new * labels + old + 1])
        members = order[bounds[0] : bounds[1]]
        opposite = changes.only(order[back[0] : back[1]])
        yield members, changes.only(members), opposite.only(opposite.act != NOBODY)


def _one_per_act(changes: Changes) -> Int64:
    """Return when each act was first: one person who changes many phrases at once proves one."""
    order = np.argsort(changes.at, kind="stable")
    _, first = np.unique(changes.act[order], return_index=True)
    return np.sort(changes.at[order][first])


@dataclass(frozen=True, eq=False)
class _Mistakes:
    """What says how many changes of a kind are mistakes; moments are in ascending order.

    Attributes
    ----------
    decided_at : of all decisions
    returned_at : when a change of any kind was taken back; `of_this_kind` are those of this one
    opposite : of the acts in the opposite direction
    share : of the old label among all labels
    """

    decided_at: Int64
    returned_at: Int64
    of_this_kind: Int64
    opposite: Int64
    share: float

    def expected(self, until: Int64) -> Float64:
        """Return how many are expected in the DAYS up to each moment."""
        of_this_kind = _count(self.of_this_kind, until) + _PRIOR_MISTAKES * self.share
        kind = of_this_kind / (_count(self.returned_at, until) + _PRIOR_MISTAKES)
        mistakes = WRONG * _count(self.decided_at, until) * kind
        return np.asarray(mistakes + _count(self.opposite, until), float)


def _count(moments: Int64, until: Int64) -> Int64:
    """Return how many moments lie in the DAYS up to each of `until`."""
    last = np.searchsorted(moments, until, side="right")
    return last - np.searchsorted(moments, until - _WINDOW, side="right")


def _covered(at: Int64, decided: Int64, mistakes: _Mistakes) -> Bool:
    """Mark the moments that a relabelling reaches; `decided` is when each of its acts was."""
    phrases = _count(decided, decided)
    by_chance = pdtrc(phrases - 1, mistakes.expected(decided))
    known = np.flatnonzero((phrases >= LEAST_PHRASES) & (by_chance <= LEVEL))
    begins = decided[np.searchsorted(decided, decided[known] - _WINDOW, side="right")]
    ends = decided[known] + _WINDOW
    # Both ascend: a moment is covered when more windows have begun by then than have ended.
    begun = np.searchsorted(begins, at, side="right")
    return begun > np.searchsorted(ends, at, side="left")
