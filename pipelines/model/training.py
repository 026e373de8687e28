"""The rows that a head is fitted on, and the weight of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.model.arrays import Bool, Float32, Float64, Int64, Strings


@dataclass(frozen=True)
class TrainingRows:
    """Distinct (cleaned, label) pairs with their embeddings.

    Attributes
    ----------
    cleaned : str (n,)
    labels : str (n,)
    weights : float64 (n,), the number of snapshot rows behind each pair
    vectors : float32 (n, d)
    validation : bool (n,), true in the validation slice
    """

    cleaned: Strings
    labels: Strings
    weights: Float64
    vectors: Float32
    validation: Bool


def fitting_weights(rows: TrainingRows) -> Float64:
    """Return log2(1 + rows), (n,): 1 for a phrase that came once.

    Phrases arrive with Zipf-like frequencies; plain counts cost 3 points of weighted F1.
    """
    weights: Float64 = np.log2(1 + rows.weights)
    return weights


def main_labels(rows: TrainingRows) -> Bool:
    """Mark the most frequent label of each phrase, the first of equals: bool (n,).

    Contradictory labels of one phrase only slow the fit down.
    """
    _, phrases = np.unique(rows.cleaned, return_inverse=True)
    ranked = np.lexsort((rows.labels, -rows.weights, phrases))
    chosen = np.zeros(len(phrases), bool)
    chosen[ranked[np.append(True, np.diff(phrases[ranked]) > 0)]] = True
    return chosen


def fitting_rows(rows: TrainingRows, codes: Int64) -> Bool:
    """Mark the rows outside the validation slice: bool (n,).

    A label that lies wholly inside the slice keeps all its rows, or no weights would be fitted
    for it. `codes` numbers the labels from 0.
    """
    present = np.bincount(codes[~rows.validation], minlength=int(codes.max()) + 1) > 0
    fitting: Bool = ~rows.validation | ~present[codes]
    return fitting


def unseen_share(rows: TrainingRows) -> float:
    """Estimate the share of coming rows whose phrase is new, in [0, 1].

    This is Good and Turing's estimate: the share of rows whose phrase came once.
    """
    _, phrases = np.unique(rows.cleaned, return_inverse=True)
    totals = np.bincount(phrases, weights=rows.weights)
    return float((totals == 1).sum() / totals.sum())
