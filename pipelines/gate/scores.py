"""Weighted F1 of weighted rows, and what every phrase adds to the difference of two versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

TINY = 1e-12
TAIL_PARTS = 3
"""The tail is a third of the labels that occur."""

Favoured = Literal["weighted", "macro", "tail"]
"""The mean F1 of labels by their weight, of all that occur, of the third with the least weight."""


@dataclass(frozen=True)
class LabelCounts:
    """float (labels,) each: weight of the rows with the label, answered with it, and both."""

    actual: np.ndarray
    predicted: np.ndarray
    hits: np.ndarray

    @property
    def f1(self) -> np.ndarray:
        """float (labels,): the F1 of each label."""
        return np.asarray(2 * self.hits / np.maximum(self.predicted + self.actual, TINY))

    @property
    def weighted_f1(self) -> float:
        return float((self.f1 * self.actual).sum() / max(self.actual.sum(), TINY))


def label_shares(actual: np.ndarray, favour: Favoured) -> np.ndarray:
    """float (labels,) summing to 1: how much the F1 of each label counts.

    `actual`, (labels,), is the weight of the rows with the label; 0 for one that is only answered.
    """
    present = np.flatnonzero(actual > 0)
    counted = actual if favour == "weighted" else np.zeros(len(actual))
    if favour == "macro":
        counted[present] = 1.0
    if favour == "tail":
        ranked = present[np.argsort(actual[present], kind="stable")]
        counted[ranked[: -(-len(ranked) // TAIL_PARTS)]] = 1.0
    return np.asarray(counted / max(counted.sum(), TINY))


def favoured_f1(
    truth: np.ndarray, answers: np.ndarray, weights: np.ndarray, favour: Favoured
) -> float:
    """Weighted, macro or tail F1 of coded rows."""
    labels = max(max_code(truth), max_code(answers)) + 1
    counts = count_labels(truth, answers, weights, labels=labels)
    return float(label_shares(counts.actual, favour) @ counts.f1)


def weighted_f1(
    truth: Sequence[str] | np.ndarray,
    answers: Sequence[str] | np.ndarray,
    weights: np.ndarray | None = None,
) -> float:
    """Support-weighted mean of the labels' F1, as scikit-learn's `f1_score(average="weighted")`."""
    actual, predicted = encode(np.asarray(truth, dtype=str), np.asarray(answers, dtype=str))
    rows = np.ones(len(actual)) if weights is None else weights
    labels = max(max_code(actual), max_code(predicted)) + 1
    return count_labels(actual, predicted, rows, labels=labels).weighted_f1


def max_code(codes: np.ndarray) -> int:
    """The largest code, 0 of none."""
    return int(codes.max()) if len(codes) else 0


def encode(*columns: np.ndarray) -> list[np.ndarray]:
    """The columns as codes of one common, sorted set of labels."""
    _, codes = np.unique(np.concatenate(columns), return_inverse=True)
    return np.split(codes, np.cumsum([len(column) for column in columns])[:-1])


def count_labels(
    truth: np.ndarray, answers: np.ndarray, weights: np.ndarray, *, labels: int
) -> LabelCounts:
    """Count coded rows by label."""
    right = truth == answers
    return LabelCounts(
        actual=np.bincount(truth, weights, labels),
        predicted=np.bincount(answers, weights, labels),
        hits=np.bincount(truth[right], weights[right], labels),
    )


def f1_differences(
    truth: np.ndarray,
    candidate: np.ndarray,
    champion: np.ndarray,
    weights: np.ndarray,
    favour: Favoured = "weighted",
) -> np.ndarray:
    """float (n,): what each row adds to the candidate's gain in weighted, macro or tail F1.

    The derivative of that F1 by hits and predictions, halfway between both versions: swapping
    the two versions on a row changes its sign. The sum differs from the gain by less than a
    hundredth of it at the error rates of a working classifier.
    """
    labels = max(map(max_code, (truth, candidate, champion))) + 1
    ours = count_labels(truth, candidate, weights, labels=labels)
    theirs = count_labels(truth, champion, weights, labels=labels)
    hits = (ours.hits + theirs.hits) / 2
    total = np.maximum((ours.predicted + theirs.predicted) / 2 + ours.actual, TINY)
    share = label_shares(ours.actual, favour)
    by_hit = 2 * share / total
    by_prediction = -2 * share * hits / total**2
    right = (candidate == truth).astype(float) - (champion == truth)
    return np.asarray(
        weights * (right * by_hit[truth] + by_prediction[candidate] - by_prediction[champion])
    )
