"""Stateless features beside the embedding: hashed word and character n-grams."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import sparse


@lru_cache(maxsize=4)
def _vectorizers(buckets: int) -> tuple[Any, Any]:
    from sklearn.feature_extraction.text import HashingVectorizer

    common = {"n_features": buckets, "norm": None, "alternate_sign": False, "lowercase": False, "dtype": np.float32}
    return HashingVectorizer(ngram_range=(1, 2), **common), HashingVectorizer(analyzer="char_wb", ngram_range=(2, 5), **common)


def count_ngrams(cleaned: Sequence[str], *, buckets: int) -> sparse.csr_matrix:
    """Counts of word n-grams (1 to 2), then of character n-grams (2 to 5): float32 (n, 2 * buckets)."""
    words, characters = _vectorizers(buckets)
    return sparse.hstack([words.transform(cleaned), characters.transform(cleaned)], format="csr", dtype=np.float32)


def inverse_document_frequency(counts: sparse.csr_matrix) -> np.ndarray:
    """Smoothed idf as in scikit-learn's TfidfTransformer: float32 (2 * buckets,)."""
    present = np.bincount(counts.indices, minlength=counts.shape[1])
    return (np.log((1 + counts.shape[0]) / (1 + present)) + 1).astype(np.float32)


def weigh_ngrams(counts: sparse.csr_matrix, *, idf: np.ndarray, weight: float) -> sparse.csr_matrix:
    """tf-idf rows of length `weight` (rows without an n-gram stay zero)."""
    weighed = counts.copy()
    weighed.data *= idf[weighed.indices]
    lengths = np.sqrt(np.add.reduceat(np.append(weighed.data**2, 0.0), np.minimum(weighed.indptr[:-1], weighed.nnz)))
    filled = np.diff(weighed.indptr) > 0
    scale = np.divide(weight, lengths, out=np.zeros_like(lengths), where=filled & (lengths > 0))
    weighed.data *= np.repeat(scale, np.diff(weighed.indptr)).astype(np.float32)
    return weighed
