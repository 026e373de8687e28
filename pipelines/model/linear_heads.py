"""Fits the linear heads.

Logistic regression on the embedding; linear SVC on hashed n-grams, with or without the embedding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from core import head_params as blocks
from pipelines.model.arrays import AnyArray, Float32, Int64
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

# Without the validation slice, then with all rows, where every epoch is averaged. Another two
# epochs in each phase gain .0005 of weighted F1.
EPOCHS = 5
AVERAGED = 3
LAST_EPOCHS = 4


def fit_hybrid_svm(
    params: blocks.HybridSvmHead, rows: TrainingRows, codes: Int64, seed: int
) -> tuple[Arrays, Settings]:
    """Fit on the embedding ++ n-grams of length `ngram_weight`."""
    return _fit_svm(
        params, rows, codes, seed, vectors=rows.vectors, ngram_weight=params.ngram_weight
    )


def fit_tfidf_svm(
    params: blocks.TfidfSvmHead, rows: TrainingRows, codes: Int64, seed: int
) -> tuple[Arrays, Settings]:
    """Fit on n-grams of length 1 alone."""
    arrays, settings = _fit_svm(
        params, rows, codes, seed, vectors=rows.vectors[:, :0], ngram_weight=1.0
    )
    return {name: array for name, array in arrays.items() if name != "weights"}, settings


def _fit_svm(
    params: blocks.HybridSvmHead | blocks.TfidfSvmHead,
    rows: TrainingRows,
    codes: Int64,
    seed: int,
    *,
    vectors: Float32,
    ngram_weight: float,
) -> tuple[Arrays, Settings]:
    """Fit without the validation slice, set the temperature on the slice, then go on with all rows.

    A phrase with several labels teaches the most frequent one, weighted by `fitting_weights`.
    """
    columns = 2 * params.buckets
    counts = count_ngrams(rows.cleaned.tolist(), buckets=params.buckets)
    idf = inverse_document_frequency(counts, phrases=len(codes), columns=columns)
    ngrams = weigh_ngrams(counts, idf=idf, weight=ngram_weight)
    svm = DualSvm(
        dense=np.hstack([vectors, np.ones((len(codes), 1), np.float32)]),
        ngrams=as_matrix(ngrams, shape=(len(codes), columns)),
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
    first = svm.train(teaching & fitting_rows(rows, codes), epochs=EPOCHS, averaged=AVERAGED)
    arrays = _svm_arrays(*first, idf=idf, keep=params.keep)
    settings["temperature"] = calibrate(params.kind, arrays, settings, rows, codes)

    last = svm.train(teaching, epochs=LAST_EPOCHS, averaged=LAST_EPOCHS)
    return _svm_arrays(*last, idf=idf, keep=params.keep), settings


def _svm_arrays(
    weights: Float32, ngram_weights: Float32, *, idf: Float32, keep: float
) -> dict[str, AnyArray]:
    """Return the arrays of the head file; the last dense weight is the bias."""
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
    size = np.abs(weights)
    # One threshold over all labels: a label that n-grams tell apart well keeps more of them.
    # Weights equal to the threshold stay, so the result does not depend on a sort's order.
    count = max(1, round(keep * weights.size))
    threshold = np.partition(size, weights.size - count, axis=None)[weights.size - count]
    pruned = sparse.csr_matrix(np.where((size >= threshold) & (size > 0), weights, 0))
    return {
        "ngram_values": pruned.data.astype(np.float16),
        "ngram_labels": pruned.indices.astype(np.uint16),
        "ngram_starts": pruned.indptr.astype(np.int32),
    }


def fit_logistic(
    params: blocks.LogisticHead, rows: TrainingRows, codes: Int64, seed: int
) -> tuple[Arrays, Settings]:
    """Fit a multinomial regression on the embedding alone, in the same three steps."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=params.C, warm_start=True, max_iter=2000, random_state=seed)
    settings = {"temperature": 1.0}
    weights = fitting_weights(rows)
    first = fitting_rows(rows, codes)
    model.fit(rows.vectors[first], codes[first], sample_weight=weights[first])
    settings["temperature"] = calibrate("logistic", _logistic_arrays(model), settings, rows, codes)
    model.fit(rows.vectors, codes, sample_weight=weights)
    return _logistic_arrays(model), settings


def _logistic_arrays(model: Any) -> dict[str, AnyArray]:
    """Return one column per label; of two, scikit-learn keeps one: the other is zero."""
    weights = model.coef_.T
    bias = model.intercept_
    if weights.shape[1] == 1:
        weights = np.hstack([np.zeros_like(weights), weights])
        bias = np.append(0.0, bias)
    return {"weights": weights.astype(np.float32), "bias": bias.astype(np.float32)}
