"""Fitting the linear heads: logistic regression on the embedding; linear SVC on hashed n-grams, with the embedding or without it."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from core import params as blocks
from pipelines.model.calibration import calibrate
from pipelines.model.dual_svm import DualSvm
from pipelines.model.features import (
    as_matrix,
    count_ngrams,
    inverse_document_frequency,
    weigh_ngrams,
)
from pipelines.model.scoring import Arrays, Settings
from pipelines.model.training import TrainingRows, fitting_rows, fitting_weights, main_labels

EPOCHS, AVERAGED = 5, 3  # without the validation slice
LAST_EPOCHS = (
    4  # with all rows, all averaged: another two epochs in each phase gain .0005 of weighted F1
)


def fit_hybrid_svm(
    params: blocks.HybridSvmHead, rows: TrainingRows, codes: np.ndarray, seed: int
) -> tuple[Arrays, Settings]:
    """On the embedding ++ n-grams of length `ngram_weight`."""
    return _fit_svm(
        params, rows, codes, seed, vectors=rows.vectors, ngram_weight=params.ngram_weight
    )


def fit_tfidf_svm(
    params: blocks.TfidfSvmHead, rows: TrainingRows, codes: np.ndarray, seed: int
) -> tuple[Arrays, Settings]:
    """On n-grams of length 1 alone."""
    arrays, settings = _fit_svm(
        params, rows, codes, seed, vectors=rows.vectors[:, :0], ngram_weight=1.0
    )
    return {name: array for name, array in arrays.items() if name != "weights"}, settings


def _fit_svm(
    params: blocks.HybridSvmHead | blocks.TfidfSvmHead,
    rows: TrainingRows,
    codes: np.ndarray,
    seed: int,
    *,
    vectors: np.ndarray,
    ngram_weight: float,
) -> tuple[Arrays, Settings]:
    """Fit without the validation slice, set the temperature on the slice, then go on with all rows.

    A phrase that came with several labels teaches the most frequent one; see `fitting_weights` for its weight.
    """
    counts, columns = (
        count_ngrams(rows.cleaned.tolist(), buckets=params.buckets),
        2 * params.buckets,
    )
    idf = inverse_document_frequency(counts, phrases=len(codes), columns=columns)
    found = weigh_ngrams(counts, idf=idf, weight=ngram_weight)
    machine = DualSvm(
        dense=np.hstack([vectors, np.ones((len(codes), 1), np.float32)]),
        ngrams=as_matrix(found, shape=(len(codes), columns)),
        codes=codes,
        costs=params.C * fitting_weights(rows),
        labels=int(codes.max()) + 1,
        seed=seed,
    )
    settings: dict[str, float] = {
        "buckets": params.buckets,
        "ngram_weight": ngram_weight,
        "temperature": 1.0,
    }
    teaching = main_labels(rows)
    first = machine.train(teaching & fitting_rows(rows, codes), epochs=EPOCHS, averaged=AVERAGED)
    settings["temperature"] = calibrate(
        params.kind, _svm_arrays(*first, idf=idf, keep=params.keep), settings, rows, codes
    )
    last = machine.train(teaching, epochs=LAST_EPOCHS, averaged=LAST_EPOCHS)
    return _svm_arrays(*last, idf=idf, keep=params.keep), settings


def _svm_arrays(
    weights: np.ndarray, ngram_weights: np.ndarray, *, idf: np.ndarray, keep: float
) -> dict[str, np.ndarray]:
    """The last dense weight is the bias."""
    return {
        "weights": weights[:-1].copy(),
        "bias": weights[-1].copy(),
        "idf": idf,
        **prune_ngrams(ngram_weights, keep=keep),
    }


def prune_ngrams(weights: np.ndarray, *, keep: float) -> dict[str, np.ndarray]:
    """The largest share `keep` of the weights (m, labels) as sparse rows: values, label numbers, and where each row starts."""
    size = np.abs(weights)
    kept = max(1, round(keep * weights.size))
    threshold = np.partition(size, weights.size - kept, axis=None)[weights.size - kept]
    found = sparse.csr_matrix(np.where((size >= threshold) & (size > 0), weights, 0))
    return {
        "ngram_values": found.data.astype(np.float16),
        "ngram_labels": found.indices.astype(np.uint16),
        "ngram_starts": found.indptr.astype(np.int32),
    }


def fit_logistic(
    params: blocks.LogisticHead, rows: TrainingRows, codes: np.ndarray, seed: int
) -> tuple[Arrays, Settings]:
    """Multinomial, on the embedding alone; fitted in the same three steps."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=params.C, warm_start=True, max_iter=2000, random_state=seed)
    first, settings, weights = (
        fitting_rows(rows, codes),
        {"temperature": 1.0},
        fitting_weights(rows),
    )
    model.fit(rows.vectors[first], codes[first], sample_weight=weights[first])
    settings["temperature"] = calibrate("logistic", _logistic_arrays(model), settings, rows, codes)
    model.fit(rows.vectors, codes, sample_weight=weights)
    return _logistic_arrays(model), settings


def _logistic_arrays(model: Any) -> dict[str, np.ndarray]:
    """With two labels scikit-learn keeps one column: the other is zero."""
    weights, bias = model.coef_.T, model.intercept_
    if weights.shape[1] == 1:
        weights, bias = np.hstack([np.zeros_like(weights), weights]), np.append(0.0, bias)
    return {"weights": weights.astype(np.float32), "bias": bias.astype(np.float32)}
