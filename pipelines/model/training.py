"""What a head is fitted on, and what its rows weigh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TrainingRows:
    """Distinct (cleaned, label) pairs, the number of rows behind each, their embeddings, and the validation slice.

    `cleaned` (n,) str, `labels` (n,) str, `weights` (n,) rows, `vectors` float32 (n, d), `validation` (n,) bool.
    """

    cleaned: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    vectors: np.ndarray
    validation: np.ndarray


def fitting_weights(rows: TrainingRows) -> np.ndarray:
    """log2(1 + rows): 1 for a phrase that came once. Arrivals are Zipf-like, and plain counts cost 3 points of weighted F1."""
    return np.log2(1 + rows.weights)


def main_labels(rows: TrainingRows) -> np.ndarray:
    """The most frequent label of each phrase, the first of equals: bool (n,). Contradictions of one phrase only slow the fit down."""
    _, phrases = np.unique(rows.cleaned, return_inverse=True)
    ranked = np.lexsort((rows.labels, -rows.weights, phrases))
    chosen = np.zeros(len(phrases), bool)
    chosen[ranked[np.append(True, np.diff(phrases[ranked]) > 0)]] = True
    return chosen


def fitting_rows(rows: TrainingRows, codes: np.ndarray) -> np.ndarray:
    """The rows outside the validation slice, and all rows of a label that lies wholly inside it: bool (n,)."""
    present = np.bincount(codes[~rows.validation], minlength=int(codes.max()) + 1) > 0
    return ~rows.validation | ~present[codes]


def unseen_share(rows: TrainingRows) -> float:
    """Good and Turing's estimate of the share of coming rows whose phrase is new: that of the rows whose phrase came once."""
    _, phrases = np.unique(rows.cleaned, return_inverse=True)
    totals = np.bincount(phrases, weights=rows.weights)
    return float((totals == 1).sum() / totals.sum())
