"""Post-hoc logit adjustment, as in Menon et al., "Long-tail learning via logit adjustment" (2021).

`tau` times the logarithm of a label's share in the fit is subtracted from its logit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.model.arrays import Float32, Float64, Int64
from pipelines.model.calibration import fit_temperature
from pipelines.model.head_file import Head
from pipelines.model.scoring import softmax
from pipelines.model.training import TrainingRows, fitting_weights

TAUS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5)
TAIL_PARTS = 3
"""The tail is a third of the labels."""


@dataclass(frozen=True)
class Adjustment:
    """The chosen tau, the logarithm of each label's share, and a temperature fitted after it."""

    tau: float
    shares: dict[str, float]
    temperature: float

    def apply(self, head: Head, probabilities: Float32) -> Float32:
        """Return the adjusted probabilities, (n, labels)."""
        logits = adjusted(probabilities, self.vector(head), tau=self.tau)
        return softmax(logits / np.float32(self.temperature))

    def vector(self, head: Head) -> Float32:
        """Return the shares in the order of the head's labels; the rarest one's for a new label."""
        rarest = min(self.shares.values())
        return np.array([self.shares.get(label, rarest) for label in head.labels], np.float32)


def choose_adjustment(head: Head, *, fitted: TrainingRows, held: TrainingRows) -> Adjustment:
    """Choose the tau with the best macro F1 of the pairs `held`, which the head has not seen.

    `fitted` are the pairs that it was fitted on. Of equal taus the smallest is taken.
    """
    names, labels = np.unique(fitted.labels, return_inverse=True)
    weight = np.bincount(labels, fitting_weights(fitted))
    shares = np.log(weight / weight.sum()).astype(np.float32)
    known = np.isin(held.labels, names)
    codes = np.searchsorted(names, held.labels[known])
    weights = fitting_weights(held)[known]
    given = head.probabilities(held.cleaned[known].tolist(), held.vectors[known])

    def macro_f1(tau: float) -> float:
        answers = adjusted(given, shares, tau=tau).argmax(axis=1)
        f1 = label_f1(codes, answers, weights, labels=len(names))
        return float(f1[np.unique(codes)].mean())

    tau = max(TAUS, key=macro_f1)
    temperature = fit_temperature(adjusted(given, shares, tau=tau), codes, weights=weights)
    by_name = dict(zip(names.tolist(), shares.tolist(), strict=True))
    return Adjustment(tau, by_name, temperature)


def adjusted(probabilities: Float32, shares: Float32, *, tau: float) -> Float32:
    """Return adjusted logits, (n, labels); `shares`, (labels,), are logarithms."""
    logits: Float32 = np.log(np.maximum(probabilities, 1e-12)) - np.float32(tau) * shares
    return logits


def tail_labels(weight: Float64) -> Int64:
    """Return the places of the third of the labels with the least `weight`, (labels,)."""
    order: Int64 = np.argsort(weight, kind="stable")
    return order[: len(weight) // TAIL_PARTS]


def label_f1(truth: Int64, answers: Int64, weights: Float64, *, labels: int) -> Float64:
    """Return the F1 of each label, (labels,); 0 for one that neither occurs nor is answered."""
    right = truth == answers
    hits = np.bincount(truth[right], weights[right], labels)
    both = np.bincount(truth, weights, labels) + np.bincount(answers, weights, labels)
    f1: Float64 = 2 * hits / np.maximum(both, 1e-12)
    return f1
