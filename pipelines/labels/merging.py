"""Pairs of labels whose merge would pay by the cost matrix, simulated on out-of-fold answers: pure.

A merged label has the probability of both. What a merge saves is what their confusions cost today.
What it loses is their distinction: what the answers that tell them apart save today, beside always
naming the one that is the cheaper guess. Whether the distinction is worth more than its cost, only
people know.

Each phrase counts once: it was answered as a new one. A frequent phrase is new only once, and the
memory answers it afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.labels.costs import answer_costs
from pipelines.labels.out_of_fold import OutOfFold, Phrases
from pipelines.model.arrays import Float64, Int64

LEAST_CONFUSED = 5
"""Phrases of a pair that are confused: fewer prove little."""
SIMULATED = 50
"""The pairs whose confusions cost most; a simulation takes some milliseconds."""


@dataclass(frozen=True)
class Merge:
    """Two labels as one. Costs are per thousand new phrases of all labels.

    Attributes
    ----------
    labels : both, the one with more phrases first
    phrases : of both
    confused : of these, answered with the other one
    saved : what the merge would save
    lost : what telling them apart saves today
    """

    labels: tuple[str, str]
    phrases: int
    confused: int
    saved: float
    lost: float

    @property
    def pays(self) -> bool:
        """True when the confusions cost more than the distinction saves."""
        return self.saved > self.lost


def simulate_merges(phrases: Phrases, answers: OutOfFold, matrix: Float64) -> list[Merge]:
    """Return the merges that would save something, those that save most first."""
    answered = answers.probabilities.argmax(axis=1)
    costs = answer_costs(matrix, phrases.codes, answered)
    merges = [
        _simulate(phrases, answers, matrix, costs, pair)
        for pair in _confused_pairs(phrases, answered, costs)
    ]
    saving = [merge for merge in merges if merge.saved > 0]
    return sorted(saving, key=lambda merge: (-merge.saved, merge.labels))


def _confused_pairs(phrases: Phrases, answered: Int64, costs: Float64) -> list[tuple[int, int]]:
    """Return the SIMULATED pairs whose confusions cost most, by their places."""
    wrong = np.flatnonzero(answered != phrases.codes)
    first = np.minimum(answered[wrong], phrases.codes[wrong])
    second = np.maximum(answered[wrong], phrases.codes[wrong])
    keys, pair, counts = np.unique(
        first * len(phrases.labels) + second, return_inverse=True, return_counts=True
    )
    total = np.bincount(pair, weights=costs[wrong], minlength=len(keys))
    total[counts < LEAST_CONFUSED] = 0
    order = np.lexsort((keys, -total))
    chosen = [int(place) for place in order[:SIMULATED] if total[place] > 0]
    return [divmod(int(keys[place]), len(phrases.labels)) for place in chosen]


def _simulate(
    phrases: Phrases,
    answers: OutOfFold,
    matrix: Float64,
    costs: Float64,
    pair: tuple[int, int],
) -> Merge:
    first, second = pair
    counts = np.array([(phrases.codes == label).sum() for label in pair])
    merged = answers.probabilities.copy()
    merged[:, first] += merged[:, second]
    merged[:, second] = 0
    # For a third label, the merged answer costs what both would, by how frequent they are.
    joint = matrix.copy()
    joint[:, first] = matrix[:, pair] @ counts / counts.sum()
    joint[list(pair), first] = 0
    saved = 1000 * float((costs - joint[phrases.codes, merged.argmax(axis=1)]).mean())

    answered = answers.probabilities.argmax(axis=1)
    within = np.isin(phrases.codes, pair) & np.isin(answered, pair)
    guess = min(float(matrix[phrases.codes[within], label].sum()) for label in pair)
    lost = 1000 * max(guess - float(costs[within].sum()), 0.0) / len(phrases.codes)
    names = [str(phrases.labels[label]) for label in pair]
    frequent, other = names if counts[0] >= counts[1] else names[::-1]
    return Merge(
        labels=(frequent, other),
        phrases=int(counts.sum()),
        confused=int((within & (answered != phrases.codes)).sum()),
        saved=round(saved, 4),
        lost=round(lost, 4),
    )
