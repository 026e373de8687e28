"""What the labels of one phrase, in the order in which they came, say of its next label: pure.

The past of a phrase is a run of labels that may have ended: rules change. Bayesian online
change-point detection (R. P. Adams and D. J. C. MacKay, 2007, arXiv:0710.3742) keeps a
probability for every length that the present run may have; each run predicts by its own
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

WEIGHING = 3
"""Number of these rules; it rises when equal labels come to be weighed otherwise."""
HAZARD = 0.03
"""Chance that a label begins a new run. At .05 one wrong label flipped 1 to 11 % of long pasts."""
CONCENTRATION = 0.1
"""Weight of labels that a run has not seen, in labels; at 1 a short past needed three labels."""
UNSEEN = 0.01
"""Probability of one particular label that a run has not seen."""
WRONG = 0.03
"""Chance that a label is a mistake, however long the run. Without it, one mistake turned 45 to 67 %
of the phrases with two labels, and .8 % of long, agreeing pasts."""
SHORT_PAST = 10
"""Labels below which one correction decides: a person has seen the answer and refused it."""
MAX_RUNS = 32
"""Run lengths kept, the likeliest; the others hold less than 1e-3 together."""
HEAD_LABELS = 1.0
"""How many labels the head's answer is worth to a run: one label decides over a new phrase."""
_LOG_HAZARD = np.log(HAZARD)
_LOG_GOING_ON = np.log1p(-HAZARD)
_LOG_UNSEEN = np.log(UNSEEN)


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
    return _contested(tuple(codes), labels)


@lru_cache(maxsize=4096)
def _contested(codes: tuple[int, ...], labels: int) -> Evidence:
    """A split weighs most phrases twice alike, with its test rows and without."""
    return mix_runs(extend_runs(no_run(labels), codes))


def repeat_deciding(
    codes: Sequence[int], corrections: Sequence[bool], relabelled: Sequence[bool]
) -> list[int]:
    """Return the labels as they are weighed: those that decide alone count twice.

    Parameters
    ----------
    corrections : labels by people who saw the answer: corrections and double reviews; they decide
        over a short past
    relabelled : labels that are part of a relabelling (see `shared_changes`); they decide
    """
    counted: list[int] = []
    for code, is_correction, is_shared in zip(codes, corrections, relabelled, strict=True):
        twice = is_shared or (is_correction and len(counted) < SHORT_PAST)
        counted += [code, code] if twice else [code]
    return counted


def weigh_without(codes: Sequence[int], *, labels: int, places: Sequence[int]) -> list[Evidence]:
    """Weigh all labels of one phrase but the one at each of `places`, which ascend."""
    if labels == 1:
        return [_agreeing(len(codes) - 1)] * len(places)
    runs = no_run(labels)
    done = 0
    weighed: list[Evidence] = []
    for place in places:
        # Whichever of equal neighbours is left out, the same labels remain.
        if weighed and set(codes[done : place + 1]) == {codes[place]}:
            weighed.append(weighed[-1])
            continue
        runs = extend_runs(runs, codes[done:place])
        weighed.append(mix_runs(extend_runs(runs, codes[place + 1 :])))
        done = place
    return weighed


@lru_cache(maxsize=4096)
def _agreeing(count: int) -> Evidence:
    """Most phrases never had another label: their evidence depends on the count alone."""
    return mix_runs(extend_runs(no_run(1), [0] * min(count, 2000)))


Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Runs:
    """The lengths that the present run may have, (runs,), and what each has counted."""

    log_chance: Floats
    lengths: Floats
    counts: Floats  # (runs, labels)


def no_run(labels: int) -> Runs:
    """The start, before any label."""
    return Runs(np.zeros(1), np.zeros(1), np.zeros((1, labels)))


def extend_runs(runs: Runs, codes: Sequence[int]) -> Runs:
    """Take further labels, oldest first, as `weigh_labels` does from `no_run`; `runs` stays."""
    size = len(runs.lengths)
    # A row more than is kept: that of the run that begins. Written in place, for speed.
    log_chance = np.empty(MAX_RUNS + 1)
    lengths = np.empty(MAX_RUNS + 1)
    counts = np.empty((MAX_RUNS + 1, runs.counts.shape[1]))
    log_chance[:size] = runs.log_chance
    lengths[:size] = runs.lengths
    counts[:size] = runs.counts

    for code in codes:
        going_on = log_chance[:size]
        counted = counts[:size, code] + CONCENTRATION * UNSEEN
        likelihood = (1 - WRONG) * counted / (lengths[:size] + CONCENTRATION) + WRONG * UNSEEN
        beginning = np.logaddexp.reduce(going_on) + _LOG_HAZARD + _LOG_UNSEEN
        going_on += _LOG_GOING_ON
        going_on += np.log(likelihood)

        log_chance[size] = beginning
        lengths[size] = 0
        counts[size] = 0
        size += 1
        lengths[:size] += 1
        counts[:size, code] += 1

        if size > MAX_RUNS:
            kept = np.argpartition(-log_chance, MAX_RUNS)[:MAX_RUNS]
            size = MAX_RUNS
            log_chance[:size] = log_chance[kept]
            lengths[:size] = lengths[kept]
            counts[:size] = counts[kept]
        log_chance[:size] -= log_chance[:size].max()
    return Runs(log_chance[:size], lengths[:size], counts[:size])


def mix_runs(runs: Runs) -> Evidence:
    """What all lengths say together of the next label."""
    chance = np.exp(runs.log_chance)
    chance /= chance.sum()
    per_label = chance / (runs.lengths + HEAD_LABELS)
    return Evidence(float(HEAD_LABELS * per_label.sum()), per_label @ runs.counts)
