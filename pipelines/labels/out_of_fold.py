"""Out-of-fold answers: what a head says of a phrase that it has not seen.

The folds are made of phrases, never of rows: a repeated phrase must not leak its label. The head
is one of fixed settings, so that a change of the served one does not change what is found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from core.params.heads import HybridSvmHead
from pipelines.model.arrays import Bool, Float32, Float64, Int64, Strings
from pipelines.model.calibration import fit_temperature
from pipelines.model.dual_svm import DualSvm
from pipelines.model.features import (
    as_matrix,
    count_ngrams,
    inverse_document_frequency,
    weigh_ngrams,
)
from pipelines.model.scoring import softmax
from pipelines.model.training import TrainingRows, main_labels

FOLDS = 4
EPOCHS = 4
AVERAGED = 3
"""Of 239 labels, 2 epochs answer 85 % rightly, 4 answer 88 %, as many as the head of `train`."""
LEARNT_CELLS = 6_000_000
"""Phrases times labels that a fold learns at most: some 20 CPU-seconds for all folds."""
JUDGED_CELLS = 40_000_000
"""Phrases times labels that are judged at most: 160 MB of probabilities."""


@dataclass(frozen=True, eq=False)
class Phrases:
    """The distinct phrases that are judged, with the label that each teaches.

    Attributes
    ----------
    cleaned : str (n,)
    codes : int (n,), the present label of each phrase, as a place in `labels`
    labels : str (k,), sorted
    rows : float64 (n,), rows of the phrase, with any label
    vectors : float32 (n, d)
    ngrams : float32 csr (n, m)
    folds : int (n,), in [0, FOLDS)
    teach : bool (n,), the phrases that folds learn from
    """

    cleaned: Strings
    codes: Int64
    labels: Strings
    rows: Float64
    vectors: Float32
    ngrams: sparse.csr_matrix
    folds: Int64
    teach: Bool

    def learnt(self, codes: Int64, *, labels: int) -> Bool:
        """Mark the labels that the other folds teach: bool (FOLDS, labels)."""
        marks = np.zeros((FOLDS, labels), bool)
        for fold in range(FOLDS):
            marks[fold, codes[self.teach & (self.folds != fold)]] = True
        return marks


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Logits, float32 (n, k), and calibrated probabilities of the same shape."""

    logits: Float32
    probabilities: Float32
    temperature: float


def judged_phrases(rows: TrainingRows, *, seed: int) -> Phrases:
    """Return the phrases of training and test rows; a random part where there are too many."""
    everything = rows.with_test()
    labels, codes = np.unique(everything.labels, return_inverse=True)
    taught = np.flatnonzero(main_labels(everything))
    random = np.random.default_rng(seed)
    order = random.permutation(len(taught))
    places = np.sort(order[: max(JUDGED_CELLS // len(labels), FOLDS)])
    chosen = taught[places]
    cleaned = everything.cleaned[chosen]
    _, phrase_of_pair = np.unique(everything.cleaned, return_inverse=True)
    totals: Float64 = np.bincount(phrase_of_pair, everything.weights).astype(np.float64)
    return Phrases(
        cleaned=cleaned,
        codes=codes[chosen],
        labels=labels,
        rows=totals[phrase_of_pair[chosen]],
        vectors=everything.vectors[chosen],
        ngrams=_ngrams(cleaned),
        folds=random.integers(FOLDS, size=len(chosen)),
        teach=random.permutation(len(chosen)) < max(LEARNT_CELLS // len(labels), FOLDS),
    )


def _ngrams(cleaned: Strings) -> sparse.csr_matrix:
    settings = HybridSvmHead()
    columns = 2 * settings.buckets
    counts = count_ngrams(cleaned.tolist(), buckets=settings.buckets)
    idf = inverse_document_frequency(counts, phrases=len(cleaned), columns=columns)
    weighed = weigh_ngrams(counts, idf=idf, weight=settings.ngram_weight)
    return as_matrix(weighed, shape=(len(cleaned), columns))


def answer_out_of_fold(phrases: Phrases, *, seed: int) -> OutOfFold:
    """Let each fold be answered by a head that learnt the others; calibrated on all folds."""
    logits = fold_logits(phrases, phrases.codes, labels=len(phrases.labels), seed=seed)
    known = phrases.learnt(phrases.codes, labels=len(phrases.labels))[phrases.folds, phrases.codes]
    temperature = 1.0
    if known.any():
        weights = np.log2(1 + phrases.rows)
        temperature = fit_temperature(logits[known], phrases.codes[known], weights=weights[known])
    return OutOfFold(logits, softmax(logits / np.float32(temperature)), temperature)


def fold_logits(phrases: Phrases, codes: Int64, *, labels: int, seed: int) -> Float32:
    """Return logits of every phrase by a head that has not seen it: float32 (n, labels).

    `codes`, int (n,), are the labels to learn, in [0, labels).
    """
    logits = np.zeros((len(codes), labels), np.float32)
    dense = np.hstack([phrases.vectors, np.ones((len(codes), 1), np.float32)])
    costs = HybridSvmHead().C * np.log2(1 + phrases.rows)

    for fold in range(FOLDS):
        held = phrases.folds == fold
        taught = phrases.teach & ~held
        if not held.any() or not taught.any():
            continue

        svm = DualSvm(
            dense=dense[taught],
            ngrams=phrases.ngrams[taught],
            codes=codes[taught],
            costs=costs[taught],
            labels=labels,
            seed=seed,
        )
        every = np.ones(int(taught.sum()), bool)
        weights, ngram_weights = svm.train(every, epochs=EPOCHS, averaged=AVERAGED)
        logits[held] = dense[held] @ weights + phrases.ngrams[held] @ ngram_weights
    return logits
