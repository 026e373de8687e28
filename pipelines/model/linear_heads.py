"""Fitting the linear heads: logistic regression on the embedding; linear SVC on embedding and hashed n-grams."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.optimize import minimize_scalar

from core import params as blocks
from pipelines.model.dual_svm import DualSvm
from pipelines.model.features import as_matrix, count_ngrams, inverse_document_frequency, weigh_ngrams
from pipelines.model.scoring import Arrays, Settings, make_scorer, softmax
from pipelines.model.training import TrainingRows

EPOCHS, AVERAGED = 5, 3  # without the validation slice
LAST_EPOCHS = 4  # with all rows, all averaged: another two epochs in each phase gain .0005 of weighted F1


def fit_hybrid_svm(params: blocks.HybridSvmHead, rows: TrainingRows, codes: np.ndarray, seed: int) -> tuple[Arrays, Settings]:
    """Fit without the validation slice, set the temperature on the slice, then go on with all rows.

    A phrase that came with several labels teaches the most frequent one; see `fitting_weights` for its weight.
    """
    counts, columns = count_ngrams(rows.cleaned.tolist(), buckets=params.buckets), 2 * params.buckets
    idf = inverse_document_frequency(counts, phrases=len(codes), columns=columns)
    found = weigh_ngrams(counts, idf=idf, weight=params.ngram_weight)
    machine = DualSvm(
        dense=np.hstack([rows.vectors, np.ones((len(codes), 1), np.float32)]),
        ngrams=as_matrix(found, shape=(len(codes), columns)),
        codes=codes,
        costs=params.C * fitting_weights(rows),
        labels=int(codes.max()) + 1,
        seed=seed,
    )
    settings: dict[str, float] = {"buckets": params.buckets, "ngram_weight": params.ngram_weight, "temperature": 1.0}
    teaching = main_labels(rows)
    first = machine.train(teaching & fitting_rows(rows, codes), epochs=EPOCHS, averaged=AVERAGED)
    settings["temperature"] = _temperature("hybrid_svm", _svm_arrays(*first, idf=idf, keep=params.keep), settings, rows, codes)
    last = machine.train(teaching, epochs=LAST_EPOCHS, averaged=LAST_EPOCHS)
    return _svm_arrays(*last, idf=idf, keep=params.keep), settings


def _svm_arrays(weights: np.ndarray, ngram_weights: np.ndarray, *, idf: np.ndarray, keep: float) -> dict[str, np.ndarray]:
    """The last dense weight is the bias."""
    return {"weights": weights[:-1].copy(), "bias": weights[-1].copy(), "idf": idf, **prune_ngrams(ngram_weights, keep=keep)}


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


def fit_logistic(params: blocks.LogisticHead, rows: TrainingRows, codes: np.ndarray, seed: int) -> tuple[Arrays, Settings]:
    """Multinomial, on the embedding alone; fitted in the same three steps."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=params.C, warm_start=True, max_iter=2000, random_state=seed)
    first, settings, weights = fitting_rows(rows, codes), {"temperature": 1.0}, fitting_weights(rows)
    model.fit(rows.vectors[first], codes[first], sample_weight=weights[first])
    settings["temperature"] = _temperature("logistic", _logistic_arrays(model), settings, rows, codes)
    model.fit(rows.vectors, codes, sample_weight=weights)
    return _logistic_arrays(model), settings


def _logistic_arrays(model: Any) -> dict[str, np.ndarray]:
    """With two labels scikit-learn keeps one column: the other is zero."""
    weights, bias = model.coef_.T, model.intercept_
    if weights.shape[1] == 1:
        weights, bias = np.hstack([np.zeros_like(weights), weights]), np.append(0.0, bias)
    return {"weights": weights.astype(np.float32), "bias": bias.astype(np.float32)}


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


def _temperature(kind: str, arrays: Arrays, settings: Settings, rows: TrainingRows, codes: np.ndarray) -> float:
    """Fitted on what traffic brings: phrases never trained on (the slice) in the share of `unseen_share`, known ones for the rest.

    The slice alone made answers underconfident: most traffic repeats known phrases (calibration error .055 instead of .026 on blocks).
    """
    held, unseen = ~fitting_rows(rows, codes), unseen_share(rows)
    logits = make_scorer(kind, arrays, settings)(rows.cleaned.tolist(), rows.vectors)
    totals = {True: rows.weights[held].sum(), False: rows.weights[~held].sum()}
    shares = np.where(held, unseen / max(totals[True], 1), (1 - unseen) / totals[False])
    return fit_temperature(logits, codes, weights=rows.weights * shares)


def unseen_share(rows: TrainingRows) -> float:
    """Good and Turing's estimate of the share of coming rows whose phrase is new: that of the rows whose phrase came once."""
    _, phrases = np.unique(rows.cleaned, return_inverse=True)
    totals = np.bincount(phrases, weights=rows.weights)
    return float((totals == 1).sum() / totals.sum())


def fit_temperature(logits: np.ndarray, codes: np.ndarray, *, weights: np.ndarray) -> float:
    """The temperature in [0.05, 20] of the least weighted negative log likelihood; `codes` are column numbers."""

    def loss(log_temperature: float) -> float:
        chosen = softmax(logits / np.float32(np.exp(log_temperature)))[np.arange(len(codes)), codes]
        return float(-(weights * np.log(np.maximum(chosen, 1e-12))).sum() / weights.sum())

    found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded", options={"xatol": 1e-3})
    return round(float(np.exp(found.x)), 4)
