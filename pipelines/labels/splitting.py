"""Labels whose split would pay by the cost matrix, simulated by a fit of both halves: pure.

The phrases of a label fall into two clusters. A head learns both as labels of their own, out of
fold, and their answers count as those of the one label that people know. Where the label was two
things under one name, fewer of its phrases are then answered wrongly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from pipelines.labels.costs import answer_costs
from pipelines.labels.out_of_fold import OutOfFold, Phrases, fold_logits
from pipelines.model.arrays import Bool, Float32, Float64, Int64

LEAST_PHRASES = 40
"""A label with fewer phrases has too few of each half for a head to learn."""
LEAST_HALF = 0.15
"""Share of its phrases that the smaller cluster must have."""
SIMULATED = 8
"""The labels whose mistakes cost most: each adds two labels to one fit of all of them."""
CHANCE = 0.01
"""That one of the splits that pay would pay by chance."""
EXAMPLES = 3
_SILHOUETTE_PHRASES = 1000
_RESTARTS = 3


@dataclass(frozen=True)
class Split:
    """A label as two. Costs are per thousand new phrases of all labels.

    Attributes
    ----------
    phrases : of the label
    share : of its phrases in the smaller cluster
    silhouette : how far apart the clusters are, in [-1, 1]; two unlike things reach .2
    wrong : share of the phrases answered wrongly in the larger and in the smaller cluster
    saved : what the split would save; negative when it costs
    p_value : how likely so many answers would turn right by chance
    pays : whether that is less likely than CHANCE over all labels that were tried
    examples : phrases in the middle of the larger and of the smaller cluster
    """

    label: str
    phrases: int
    share: float
    silhouette: float
    wrong: tuple[float, float]
    saved: float
    p_value: float
    pays: bool
    examples: tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class _Halves:
    """The phrases of a label, (n,) among all, and those in the smaller cluster, bool (members,)."""

    label: int
    members: Int64
    smaller: Bool
    centres: Float32  # (2, d), of the larger and of the smaller cluster


def simulate_splits(
    phrases: Phrases, answers: OutOfFold, matrix: Float64, *, seed: int
) -> list[Split]:
    """Return the splits that were tried, those that save most first."""
    answered = answers.probabilities.argmax(axis=1)
    costs = answer_costs(matrix, phrases.codes, answered)
    tried = [
        halves
        for label in _costly_labels(phrases, costs)
        if (halves := _halve(phrases, label, seed=seed)) is not None
    ]
    if not tried:
        return []
    logits = fold_logits(
        phrases, _codes_of_halves(phrases, tried), labels=1 + 2 * len(tried), seed=seed
    )
    splits = [
        _simulate(phrases, answers, matrix, costs, halves, logits[:, 1 + 2 * place :][:, :2], tried)
        for place, halves in enumerate(tried)
    ]
    return sorted(splits, key=lambda split: (-split.saved, split.label))


def _costly_labels(phrases: Phrases, costs: Float64) -> list[int]:
    """Return the labels with enough phrases whose mistakes cost most, up to SIMULATED."""
    labels = len(phrases.labels)
    counts = np.bincount(phrases.codes, minlength=labels)
    total = np.bincount(phrases.codes, weights=costs, minlength=labels)
    fit = np.flatnonzero((counts >= LEAST_PHRASES) & (total > 0))
    chosen: list[int] = fit[np.lexsort((fit, -total[fit]))][:SIMULATED].tolist()
    return chosen


def _halve(phrases: Phrases, label: int, *, seed: int) -> _Halves | None:
    """Divide the phrases of a label by 2-means on their vectors; None for a lonely few."""
    from sklearn.cluster import KMeans

    members = np.flatnonzero(phrases.codes == label)
    model = KMeans(2, n_init=_RESTARTS, random_state=seed).fit(phrases.vectors[members])
    ones = model.labels_ == 1
    smaller = ones if ones.mean() <= 0.5 else ~ones
    if smaller.mean() < LEAST_HALF:
        return None
    order = [0, 1] if ones.mean() <= 0.5 else [1, 0]
    return _Halves(label, members, smaller, model.cluster_centers_[order])


def _codes_of_halves(phrases: Phrases, tried: list[_Halves]) -> Int64:
    """Return 0 for phrases of other labels, 1 + 2i and 2 + 2i for the halves of the i-th label."""
    codes = np.zeros(len(phrases.codes), np.int64)
    for place, halves in enumerate(tried):
        codes[halves.members] = 1 + 2 * place + halves.smaller
    return codes


def _simulate(
    phrases: Phrases,
    answers: OutOfFold,
    matrix: Float64,
    costs: Float64,
    halves: _Halves,
    logits: Float32,
    tried: list[_Halves],
) -> Split:
    """Let the better of both halves speak for the label; the other labels answer as before."""
    changed_logits = answers.logits.copy()
    changed_logits[:, halves.label] = logits.max(axis=1)
    changed = answer_costs(matrix, phrases.codes, changed_logits.argmax(axis=1))
    better = int((changed < costs).sum())
    worse = int((changed > costs).sum())
    p_value = 1.0
    if better + worse:
        p_value = float(binomtest(better, better + worse, alternative="greater").pvalue)
    saved = round(1000 * float((costs - changed).mean()), 4)
    wrong = costs[halves.members] > 0
    return Split(
        label=str(phrases.labels[halves.label]),
        phrases=len(halves.members),
        share=float(halves.smaller.mean()),
        silhouette=_silhouette(phrases.vectors[halves.members], halves.smaller),
        wrong=(float(wrong[~halves.smaller].mean()), float(wrong[halves.smaller].mean())),
        saved=saved,
        p_value=p_value,
        pays=saved > 0 and p_value <= CHANCE / len(tried),
        examples=(_middle(phrases, halves, 0), _middle(phrases, halves, 1)),
    )


def _silhouette(vectors: Float32, smaller: Bool) -> float:
    from sklearn.metrics import silhouette_score

    return float(
        silhouette_score(
            vectors,
            smaller,
            sample_size=min(_SILHOUETTE_PHRASES, len(vectors)) if smaller.sum() > 20 else None,
            random_state=0,
        )
    )


def _middle(phrases: Phrases, halves: _Halves, which: int) -> tuple[str, ...]:
    """Return the phrases nearest the centre of a cluster."""
    own = halves.members[halves.smaller == bool(which)]
    distances = np.linalg.norm(phrases.vectors[own] - halves.centres[which], axis=1)
    nearest = own[np.argsort(distances, kind="stable")[:EXAMPLES]]
    return tuple(str(phrase) for phrase in phrases.cleaned[nearest])
