"""Applying a head: arrays in, logits out. Needs numpy and scipy alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy import sparse

from pipelines.model.features import as_matrix, count_ngrams, weigh_ngrams

Arrays = Mapping[str, np.ndarray]
Settings = Mapping[str, float]
NGRAM_ARRAYS = ("ngram_values", "ngram_labels", "ngram_starts")  # sparse rows: weights, label numbers, where each n-gram starts
Scorer = Callable[[Sequence[str], np.ndarray], np.ndarray]  # cleaned, vectors -> logits float32 (n, labels)


def make_scorer(kind: str, arrays: Arrays, settings: Settings) -> Scorer:
    """Return the function that gives a head's logits; what can be prepared once is prepared here."""
    return _SCORERS[kind](arrays, settings)


def misfit(kind: str, arrays: Arrays, settings: Settings, *, labels: int) -> str | None:
    """What keeps these arrays from being a head of this kind, in one clause; None when nothing does."""
    if kind not in _SHAPES:
        return f"an unknown kind, {kind}"
    needed = {*_SHAPES[kind], "centroids", *(NGRAM_ARRAYS if kind == "hybrid_svm" else ())}
    missing = sorted((needed - set(arrays)) | (_SETTINGS[kind] - set(settings)))
    if missing:
        return f"kind {kind} without {', '.join(missing)}"
    sizes = {"labels": labels, "dimensions": (arrays["centroids"].shape or (0,))[-1], "columns": 2 * int(settings.get("buckets", 0))}
    for name, shape in {**_SHAPES[kind], "centroids": ("labels", "dimensions")}.items():
        if arrays[name].shape != (wanted := tuple(sizes[size] for size in shape)):
            return f"{name} of shape {arrays[name].shape}, not {wanted}"
    return _misfit_ngrams(arrays, sizes) if kind == "hybrid_svm" else None


def _misfit_ngrams(arrays: Arrays, sizes: Mapping[str, int]) -> str | None:
    """The sparse product trusts these three arrays blindly."""
    values, codes, starts = (arrays[name] for name in NGRAM_ARRAYS)
    sound = values.ndim == codes.ndim == starts.ndim == 1 and len(values) == len(codes) and len(starts) == sizes["columns"] + 1
    sound = sound and starts[0] == 0 and starts[-1] == len(values) and bool((np.diff(starts) >= 0).all())
    sound = sound and (not len(codes) or 0 <= codes.min() <= codes.max() < sizes["labels"])
    return None if sound else "n-gram weights that do not fit together"


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
_LINEAR = {"weights": ("dimensions", "labels"), "bias": ("labels",)}
_SHAPES: dict[str, dict[str, tuple[str, ...]]] = {
    "majority": {"log_prior": ("labels",)},
    "logistic": _LINEAR,
    "hybrid_svm": {**_LINEAR, "idf": ("columns",)},
}
_SETTINGS: dict[str, set[str]] = {"majority": set(), "logistic": {"temperature"}, "hybrid_svm": {"temperature", "buckets", "ngram_weight"}}
