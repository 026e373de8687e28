"""Applying a head: arrays in, logits out. Needs numpy and scipy alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy import sparse

from pipelines.model.features import as_matrix, count_ngrams, weigh_ngrams

Arrays = Mapping[str, np.ndarray]
Settings = Mapping[str, float]
Scorer = Callable[[Sequence[str], np.ndarray], np.ndarray]  # cleaned, vectors -> logits float32 (n, labels)


def make_scorer(kind: str, arrays: Arrays, settings: Settings) -> Scorer:
    """Return the function that gives a head's logits; what can be prepared once is prepared here."""
    return _SCORERS[kind](arrays, settings)


def required_arrays(kind: str) -> tuple[str, ...]:
    """Names of the arrays that a kind cannot do without; () for an unknown kind."""
    return _REQUIRED.get(kind, ())


def softmax(logits: np.ndarray) -> np.ndarray:
    """Rows of positive numbers that sum to 1, float32."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32, copy=False)


def _majority(arrays: Arrays, settings: Settings) -> Scorer:
    prior = arrays["log_prior"].astype(np.float32)
    return lambda cleaned, vectors: np.tile(prior, (len(cleaned), 1))


def _logistic(arrays: Arrays, settings: Settings) -> Scorer:
    weights, bias = _tempered(arrays, settings)
    return lambda cleaned, vectors: vectors @ weights + bias


def _hybrid_svm(arrays: Arrays, settings: Settings) -> Scorer:
    weights, bias = _tempered(arrays, settings)
    buckets, idf = int(settings["buckets"]), arrays["idf"].astype(np.float32)
    values = arrays["ngram_values"].astype(np.float32) / np.float32(settings["temperature"])
    table = sparse.csr_matrix(
        (values, arrays["ngram_labels"].astype(np.int32), arrays["ngram_starts"]), shape=(2 * buckets, weights.shape[1])
    )

    def score(cleaned: Sequence[str], vectors: np.ndarray) -> np.ndarray:
        found = weigh_ngrams(count_ngrams(cleaned, buckets=buckets), idf=idf, weight=settings["ngram_weight"])
        return vectors @ weights + bias + (as_matrix(found, shape=(len(cleaned), 2 * buckets)) @ table).toarray()

    return score


def _tempered(arrays: Arrays, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    temperature = np.float32(settings["temperature"])
    return arrays["weights"].astype(np.float32) / temperature, arrays["bias"].astype(np.float32) / temperature


_SCORERS: dict[str, Callable[[Arrays, Settings], Scorer]] = {"majority": _majority, "logistic": _logistic, "hybrid_svm": _hybrid_svm}
_REQUIRED = {
    "majority": ("centroids", "log_prior"),
    "logistic": ("centroids", "weights", "bias"),
    "hybrid_svm": ("centroids", "weights", "bias", "idf", "ngram_values", "ngram_labels", "ngram_starts"),
}
