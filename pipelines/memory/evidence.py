"""What the labels of one phrase, in the order in which they came, say of its next label: pure.

The past of a phrase is a run of labels that may have ended: rules change. Bayesian online
change-point detection (R. P. Adams and D. J. C. MacKay, 2007, arXiv:0710.3742) keeps a
probability for every length that the present run may have; each run foretells by its own
counts (a Dirichlet predictive). Nothing has to be tuned per phrase: one wrong label against a
long, agreeing past is noise, two or three agreeing ones are a new rule, and a phrase that truly
has two labels keeps both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

HAZARD = 0.03
"""Chance that a label begins a new run. At .05 one wrong label flipped 1 to 11 % of long pasts."""
CONCENTRATION = 1.0
"""Weight of labels that a run has not seen, in labels; at .3 one wrong label flipped 1.4 %."""
UNSEEN = 0.01
"""Probability of one particular label that a run has not seen."""
MAX_RUNS = 32
"""Run lengths kept, the likeliest; the others hold less than 1e-3 together."""
HEAD_LABELS = 1.0
"""How many labels the head's answer is worth to a run: one label decides over a new phrase."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """`probability = head_share * head + weights`, over the labels that the phrase has had.

    `head_share` in (0, 1]; `weights` float64 (labels,); they sum to 1.
    """

    head_share: float
    weights: NDArray[np.float64]


def weigh_labels(codes: Sequence[int], *, labels: int) -> Evidence:
    """Weigh the labels of one phrase, oldest first; `codes` are numbers in [0, labels)."""
    if labels == 1:
        return _agreeing(len(codes))
    return _mixed(_extended(_no_run(labels), codes))


def weigh_without(codes: Sequence[int], *, labels: int, places: Sequence[int]) -> list[Evidence]:
    """Weigh all labels of one phrase but the one at each of `places`, which ascend."""
    if labels == 1:
        return [_agreeing(len(codes) - 1)] * len(places)
    runs = _no_run(labels)
    done = 0
    weighed: list[Evidence] = []
    for place in places:
        # Whichever of equal neighbours is left out, the same labels remain.
        if weighed and set(codes[done : place + 1]) == {codes[place]}:
            weighed.append(weighed[-1])
            continue
        runs = _extended(runs, codes[done:place])
        weighed.append(_mixed(_extended(runs, codes[place + 1 :])))
        done = place
    return weighed


@lru_cache(maxsize=4096)
def _agreeing(count: int) -> Evidence:
    """Most phrases never had another label: their evidence depends on the count alone."""
    return _mixed(_extended(_no_run(1), [0] * min(count, 2000)))


Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Runs:
    """The lengths that the present run may have, (runs,), and what each has counted."""

    log_chance: Floats
    lengths: Floats
    counts: Floats  # (runs, labels)


def _no_run(labels: int) -> _Runs:
    return _Runs(np.zeros(1), np.zeros(1), np.zeros((1, labels)))


def _extended(runs: _Runs, codes: Sequence[int]) -> _Runs:
    log_chance = runs.log_chance
    lengths = runs.lengths
    counts = runs.counts
    for code in codes:
        foretold = (counts[:, code] + CONCENTRATION * UNSEEN) / (lengths + CONCENTRATION)
        going_on = log_chance + np.log1p(-HAZARD) + np.log(foretold)
        beginning = np.logaddexp.reduce(log_chance) + np.log(HAZARD) + np.log(UNSEEN)
        counts = np.vstack([counts, np.zeros((1, counts.shape[1]))])
        counts[:, code] += 1
        log_chance = np.append(going_on, beginning)
        lengths = np.append(lengths + 1, 1)
        if len(lengths) > MAX_RUNS:
            kept = np.argpartition(-log_chance, MAX_RUNS)[:MAX_RUNS]
            log_chance = log_chance[kept]
            lengths = lengths[kept]
            counts = counts[kept]
        log_chance = log_chance - log_chance.max()
    return _Runs(log_chance, lengths, counts)


def _mixed(runs: _Runs) -> Evidence:
    chance = np.exp(runs.log_chance)
    chance /= chance.sum()
    per_label = chance / (runs.lengths + HEAD_LABELS)
    return Evidence(float(HEAD_LABELS * per_label.sum()), per_label @ runs.counts)
