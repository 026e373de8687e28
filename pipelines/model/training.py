"""The rows that heads are fitted on, and the weight of each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from core.params.heads import Favour
from pipelines.model.arrays import Bool, Float32, Float64, Int64, Strings

LEANING = {"macro": 0.5, "tail": 1.0}
"""A label of weight w in the fit gets the factor (mean / w) to this power.

Chosen among 0.25, 0.5, 0.75 and 1 on long-tailed cuts of spoken commands and on generated sets,
five seeds each: on average 0.5 gave the best macro F1 of the generated sets, 1 the best F1 of the
rare third. A `tau` of logit adjustment was worse than either (`benchmarks.imbalance`).
"""


@dataclass(frozen=True)
class TrainingRows:
    """Distinct (cleaned, label) pairs with their embeddings.

    Attributes
    ----------
    cleaned : str (n,)
    labels : str (n,)
    weights : float64 (n,), the number of training rows behind each pair
    vectors : float32 (n, d)
    validation : bool (n,), true in the validation slice
    present : bool (n,), marks the present label of each phrase by the training rows; None: the
        most frequent
    test_weights : float64 (n,), the number of test rows behind each pair; None: no test rows
    present_with_test : bool (n,), marks the present labels by all rows; None: the most frequent
    favour : what the head leans towards, by the weight of each label in the fit
    """

    cleaned: Strings
    labels: Strings
    weights: Float64
    vectors: Float32
    validation: Bool
    present: Bool | None = None
    test_weights: Float64 | None = None
    present_with_test: Bool | None = None
    favour: Favour = "weighted"

    def trained(self) -> Bool:
        """Mark the pairs with a training row: bool (n,)."""
        marked: Bool = self.weights > 0
        return marked

    def without_test(self) -> TrainingRows:
        """Return the pairs with a training row: what the judged head may know."""
        chosen = self.trained()
        return TrainingRows(
            cleaned=self.cleaned[chosen],
            labels=self.labels[chosen],
            weights=self.weights[chosen],
            vectors=self.vectors[chosen],
            validation=self.validation[chosen],
            present=None if self.present is None else self.present[chosen],
            favour=self.favour,
        )

    def tested(self) -> TrainingRows:
        """Return the pairs with a test row, weighted by their test rows."""
        counts = np.zeros(len(self.labels)) if self.test_weights is None else self.test_weights
        chosen = counts > 0
        return TrainingRows(
            cleaned=self.cleaned[chosen],
            labels=self.labels[chosen],
            weights=counts[chosen],
            vectors=self.vectors[chosen],
            validation=self.validation[chosen],
        )

    def with_test(self) -> TrainingRows:
        """Return all pairs, weighted by all rows: what the served head knows."""
        if self.test_weights is None:
            return self
        return replace(
            self,
            weights=self.weights + self.test_weights,
            present=self.present_with_test,
            test_weights=None,
            present_with_test=None,
        )


def fitting_weights(rows: TrainingRows) -> Float64:
    """Return log2(1 + rows), (n,): 1 for a phrase that came once.

    Phrases arrive with Zipf-like frequencies; plain counts cost 3 points of weighted F1. A head
    that leans towards rare labels gives each label the factor of LEANING.
    """
    weights: Float64 = np.log2(1 + rows.weights)
    if rows.favour == "weighted":
        return weights
    _, codes = np.unique(rows.labels, return_inverse=True)
    by_label = np.bincount(codes, weights)
    mean = by_label[by_label > 0].mean()  # a label of test rows alone has no weight yet
    factors: Float64 = (mean / np.where(by_label > 0, by_label, mean)) ** LEANING[rows.favour]
    return weights * factors[codes]


def main_labels(rows: TrainingRows) -> Bool:
    """Mark the present label of each phrase: bool (n,).

    Without `rows.present` it is the most frequent one, the first of equals. Contradictory labels of
    one phrase only slow the fit down.
    """
    if rows.present is not None:
        return rows.present
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
