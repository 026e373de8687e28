"""Divides the week's labels among the strategies, and picks from what they propose: pure."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from monitoring.review.strategies import ReviewCandidate

RANDOM = "random"
REQUESTED = "requested"


def divide_labels(labels: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Divide by the largest remainder: the parts sum to `labels`, each within 1 of its share.

    `shares` sum to 1; of equal remainders the first wins.
    """
    exact = {name: labels * share for name, share in shares.items()}
    parts = {name: int(np.floor(value + 1e-9)) for name, value in exact.items()}
    remainders = sorted(exact, key=lambda name: parts[name] - exact[name])
    for name in remainders[: labels - sum(parts.values())]:
        parts[name] += 1
    return parts


@dataclass(frozen=True)
class Week:
    """The labels of a week, by strategy: how many it may have, and how many it has had or has."""

    labels: int
    shares: Mapping[str, float]
    used: Mapping[str, int]

    def left(self, drawn: int) -> int:
        """Labels that strategies may still ask for, besides `drawn` random ones.

        What is kept for random items, which are drawn all week long, is not theirs.
        """
        parts = divide_labels(self.labels, self.shares)
        random = max(parts.get(RANDOM, 0), self.used.get(RANDOM, 0) + drawn)
        others = sum(count for name, count in self.used.items() if name != RANDOM)
        return max(self.labels - random - others, 0)

    def quotas(self) -> dict[str, int]:
        """Return strategy -> labels that it may still ask for; random ones are drawn elsewhere."""
        parts = divide_labels(self.labels, self.shares)
        return {
            name: max(part - self.used.get(name, 0), 0)
            for name, part in parts.items()
            if name != RANDOM
        }


def pick(
    proposed: Mapping[str, Sequence[ReviewCandidate]], week: Week, *, taken: Collection[str]
) -> list[ReviewCandidate]:
    """Pick the items to add, each phrase once, apart from random ones, which are all picked.

    Requested phrases come first, then each strategy's own share; what is left over goes to the
    most valuable candidates of all. `taken` are phrases that people see or saw. A phrase that was
    also drawn at random is asked once, as the random item that it is: its label then counts for
    both, with the probability of the draw.
    """
    drawn = list(proposed.get(RANDOM, ()))
    seen = set(taken) | {candidate.cleaned for candidate in drawn}
    left = week.left(len(drawn))
    chosen: list[ReviewCandidate] = []
    for name, quota in {REQUESTED: left, **week.quotas()}.items():
        room = min(quota, left - len(chosen)) if name != REQUESTED else left
        chosen += _fresh(proposed.get(name, ()), seen, room)
    rest = chain.from_iterable(proposed[name] for name in proposed if name != RANDOM)
    by_value = sorted(rest, key=lambda candidate: (-candidate.value, candidate.cleaned))
    wanted = [candidate for candidate in by_value if week.shares.get(candidate.strategy)]
    chosen += _fresh(wanted, seen, left - len(chosen))
    return [*drawn, *chosen]


def _fresh(
    candidates: Sequence[ReviewCandidate], seen: set[str], room: int
) -> Iterator[ReviewCandidate]:
    """Yield so many candidates whose phrase was not seen, and note their phrases."""
    for candidate in candidates:
        if room <= 0:
            return
        if candidate.cleaned not in seen:
            seen.add(candidate.cleaned)
            room -= 1
            yield candidate


def hide_random(
    chosen: Sequence[ReviewCandidate], *, waiting: Sequence[float] = (), seed: int
) -> list[ReviewCandidate]:
    """Give random items the value of others, drawn at random: the queue goes by value.

    Whether a random item is looked at must not depend on what it is, or those that are labelled
    would no longer be a sample. A requested phrase keeps its place before the others. `waiting`
    are the values of the others that are open: most refills add random items alone.
    """
    others = [candidate.value for candidate in chosen if candidate.probability is None]
    values = [*others, *waiting] or [1.0]
    hidden = []
    for candidate in chosen:
        if candidate.probability is not None:
            # Of the request: one seed for all refills would give each of them the same place.
            random = np.random.default_rng([seed, zlib.crc32(candidate.request_id.encode())])
            candidate = replace(candidate, value=float(random.choice(values)))
        hidden.append(candidate)
    return hidden
