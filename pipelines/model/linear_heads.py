"""Fits the linear heads.

Logistic regression on the embedding; linear SVC on hashed n-grams, with or without the embedding.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np

from core.params import heads as blocks
from pipelines.model.arrays import AnyArray, Bool, Float32, Int64, UInt32
from pipelines.model.calibration import calibrate
from pipelines.model.dual_svm import DualSvm
from pipelines.model.features import (
    as_matrix,
    count_ngrams,
    inverse_document_frequency,
    weigh_ngrams,
)
from pipelines.model.scoring import Fits
from pipelines.model.training import TrainingRows, fitting_rows, fitting_weights, main_labels

# Without the validation slice, then with all training rows, where every epoch is averaged, then
# with the test rows. One epoch more in each phase gains nothing that exceeds noise; one less loses
# up to .01 of weighted F1 on unseen phrases.
EPOCHS = 4
AVERAGED = 3
LAST_EPOCHS = 3
PART = 512
"""N-grams whose weights are pruned at once."""


def fit_hybrid_svm(params: blocks.HybridSvmHead, rows: TrainingRows, seed: int) -> Fits:
    """Fit on the embedding ++ n-grams of length `ngram_weight`."""
    return islice(hybrid_svm_steps(params, rows, seed), 1, None)


def hybrid_svm_steps(params: blocks.HybridSvmHead, rows: TrainingRows, seed: int) -> Fits:
    """Do what `fit_hybrid_svm` does; yield first the fit that lacks the validation slice."""
    return _svm_steps(params, rows, seed, vectors=rows.vectors, ngram_weight=params.ngram_weight)


def fit_tfidf_svm(params: blocks.TfidfSvmHead, rows: TrainingRows, seed: int) -> Fits:
    """Fit on n-grams of length 1 alone."""
    steps = _svm_steps(params, rows, seed, vectors=rows.vectors[:, :0], ngram_weight=1.0)
    for arrays, settings in islice(steps, 1, None):
        yield {name: array for name, array in arrays.items() if name != "weights"}, settings


def _svm_steps(
    params: blocks.HybridSvmHead | blocks.TfidfSvmHead,
    rows: TrainingRows,
    seed: int,
    *,
    vectors: Float32,
    ngram_weight: float,
) -> Fits:
    """Fit without the validation slice, calibrate on it, go on with the training rows, then all.

    A phrase with several labels teaches the most frequent one, weighted by `fitting_weights`.
    """
    part = rows.without_test()
    label_set = np.unique(rows.labels)
    known = np.isin(label_set, part.labels)
    part_codes = np.searchsorted(label_set[known], part.labels)
    idf, svm = _svm_of(params, rows, seed, vectors=vectors, ngram_weight=ngram_weight)
    settings: dict[str, float] = {
        "buckets": params.buckets,
        "ngram_weight": ngram_weight,
        "temperature": 1.0,
    }

    trained = rows.trained()
    teaching = _spread(main_labels(part), trained)
    fitting = _spread(fitting_rows(part, part_codes), trained)
    first = svm.train(teaching & fitting, epochs=EPOCHS, averaged=AVERAGED)
    arrays = _svm_arrays(*first, idf=idf, keep=params.keep, known=known)
    settings["temperature"] = calibrate(params.kind, arrays, settings, part, part_codes)
    yield arrays, settings

    judged = svm.train(teaching, epochs=LAST_EPOCHS, averaged=LAST_EPOCHS)
    yield _svm_arrays(*judged, idf=idf, keep=params.keep, known=known), settings

    everything = rows.with_test()
    still_teaching = main_labels(everything)
    svm.change_costs(params.C * fitting_weights(everything))
    svm.forget(teaching & ~still_teaching)
    served = svm.train(still_teaching, epochs=LAST_EPOCHS, averaged=LAST_EPOCHS)
    yield _svm_arrays(*served, idf=idf, keep=params.keep, known=np.ones_like(known)), settings


def _svm_of(
    params: blocks.HybridSvmHead | blocks.TfidfSvmHead,
    rows: TrainingRows,
    seed: int,
    *,
    vectors: Float32,
    ngram_weight: float,
) -> tuple[Float32, DualSvm]:
    """Return the inverse document frequencies, of the training part alone, and the solver."""
    trained = rows.trained()
    columns = 2 * params.buckets
    counts = count_ngrams(rows.cleaned[trained].tolist(), buckets=params.buckets)
    idf = inverse_document_frequency(counts, phrases=int(trained.sum()), columns=columns)
    if not trained.all():
        counts = count_ngrams(rows.cleaned.tolist(), buckets=params.buckets)
    ngrams = weigh_ngrams(counts, idf=idf, weight=ngram_weight)
    label_set, codes = np.unique(rows.labels, return_inverse=True)
    svm = DualSvm(
        dense=np.hstack([vectors, np.ones((len(codes), 1), np.float32)]),
        ngrams=as_matrix(ngrams, shape=(len(codes), columns)),
        codes=codes,
        costs=params.C * fitting_weights(rows),
        labels=len(label_set),
        seed=seed,
    )
    return idf, svm


def _spread(marks: Bool, chosen: Bool) -> Bool:
    """Put the marks of the chosen rows in their places among all rows; False elsewhere."""
    spread = np.zeros(len(chosen), bool)
    spread[chosen] = marks
    return spread


def _svm_arrays(
    weights: Float32, ngram_weights: Float32, *, idf: Float32, keep: float, known: Bool
) -> dict[str, AnyArray]:
    """Return the arrays of the head file for the labels that are `known`, bool (labels,).

    The last dense weight is the bias.
    """
    if not known.all():
        weights = weights[:, known]
        ngram_weights = np.compress(known, ngram_weights, axis=1)
    return {
        "weights": weights[:-1].copy(),
        "bias": weights[-1].copy(),
        "idf": idf,
        **prune_ngrams(ngram_weights, keep=keep),
    }


def prune_ngrams(weights: Float32, *, keep: float) -> dict[str, AnyArray]:
    """Keep the largest share `keep` of the weights, (m, labels), as sparse rows.

    Returns
    -------
    Values (float16), label numbers (uint16), and the start of each row (int32, m + 1).
    """
    # One threshold over all labels: a label that n-grams tell apart well keeps more of them.
    # Weights equal to the threshold stay, so the result does not depend on a sort's order.
    places, values = _largest(weights, max(1, round(keep * weights.size)))
    ngrams, labels = np.divmod(places, weights.shape[1])
    counts = np.bincount(ngrams, minlength=len(weights))
    return {
        "ngram_values": values.astype(np.float16),
        "ngram_labels": labels.astype(np.uint16),
        "ngram_starts": np.append(0, np.cumsum(counts)).astype(np.int32),
    }


def _largest(weights: Float32, count: int) -> tuple[Int64, Float32]:
    """Return the flat places and the values of the `count` largest weights, and of their equals.

    Zeros are left out. Floats of one sign are ordered as their bits are: a histogram of the upper
    bits leaves few values to rank. The weights are read in parts that stay in the processor's
    cache; whole arrays of this size take several times as long.
    """
    parts = [weights[start : start + PART].reshape(-1) for start in range(0, len(weights), PART)]
    histogram = np.zeros(1 << 15, np.int64)
    for part in parts:
        histogram += np.bincount(_upper_bits(part), minlength=len(histogram))
    at_least = histogram[::-1].cumsum()[::-1]
    upper = np.flatnonzero(at_least >= count)[-1]
    least = (np.uint32(upper) << np.uint32(16)).view(np.float32)

    candidates = [np.flatnonzero(np.abs(part) >= least) for part in parts]
    values = np.concatenate([part[at] for part, at in zip(parts, candidates, strict=True)])
    places = np.concatenate(
        [at + number * PART * weights.shape[1] for number, at in enumerate(candidates)]
    )
    size = np.abs(values)
    threshold = np.partition(size, len(size) - count)[len(size) - count]
    kept = (size >= threshold) & (size > 0)
    return places[kept], values[kept]


def _upper_bits(weights: Float32) -> UInt32:
    """Return the upper 16 bits of each size."""
    return np.abs(weights).view(np.uint32) >> np.uint32(16)


def fit_logistic(params: blocks.LogisticHead, rows: TrainingRows, seed: int) -> Fits:
    """Fit a multinomial regression on the embedding alone, in the same steps."""
    from sklearn.linear_model import LogisticRegression

    part = rows.without_test()
    label_set, codes = np.unique(part.labels, return_inverse=True)
    model = LogisticRegression(C=params.C, warm_start=True, max_iter=2000, random_state=seed)
    settings = {"temperature": 1.0}
    weights = fitting_weights(part)
    first = fitting_rows(part, codes)
    model.fit(part.vectors[first], codes[first], sample_weight=weights[first])
    settings["temperature"] = calibrate("logistic", _logistic_arrays(model), settings, part, codes)
    model.fit(part.vectors, codes, sample_weight=weights)
    yield _logistic_arrays(model), settings

    everything = rows.with_test()
    all_labels, codes = np.unique(everything.labels, return_inverse=True)
    if len(all_labels) > len(label_set):  # a label of test rows alone: the start does not fit
        model.set_params(warm_start=False)
    model.fit(everything.vectors, codes, sample_weight=fitting_weights(everything))
    yield _logistic_arrays(model), settings


def _logistic_arrays(model: Any) -> dict[str, AnyArray]:
    """Return one column per label; of two, scikit-learn keeps one: the other is zero."""
    weights = model.coef_.T
    bias = model.intercept_
    if weights.shape[1] == 1:
        weights = np.hstack([np.zeros_like(weights), weights])
        bias = np.append(0.0, bias)
    return {"weights": weights.astype(np.float32), "bias": bias.astype(np.float32)}
