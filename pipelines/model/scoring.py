"""Applies a head: arrays in, logits out. Needs numpy and scipy alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pipelines.model.arrays import AnyArray, Float32
from pipelines.model.features import as_matrix, count_ngrams, weigh_ngrams

Arrays = Mapping[str, AnyArray]
Settings = Mapping[str, float]
Shape = tuple[str, ...]
"""Sizes by name: labels, dimensions, hidden, columns, kept, starts."""
Fits = Iterator[tuple[Arrays, Settings]]
"""The judged head, then the served one; see `pipelines/model/heads.py`."""
Scorer = Callable[[Sequence[str], Float32], Float32]
"""Cleaned phrases and their vectors, (n, d) -> logits, float32 (n, labels)."""


LEAST_SHARE = np.float32(1e-12)
"""Below this a probability counts as this: its logarithm stays finite."""


def make_scorer(kind: str, arrays: Arrays, settings: Settings) -> Scorer:
    """Return the function that computes logits; casts and tables are prepared here, once."""
    return _KINDS[kind].make(arrays, settings)


def misfit(kind: str, arrays: Arrays, settings: Settings, *, labels: int) -> str | None:
    """Return why these are not the arrays and settings of a head of this kind, in one clause.

    None when they are.
    """
    if kind not in _KINDS:
        return f"an unknown kind, {kind}"
    shapes = {**_KINDS[kind].shapes, "centroids": ("labels", "dimensions")}
    needed = _KINDS[kind].settings
    missing = sorted((set(shapes) - set(arrays)) | (needed - set(settings)))
    if missing:
        return f"kind {kind} without {', '.join(missing)}"
    problem = _misfit_settings({name: settings[name] for name in sorted(needed)})
    if problem:
        return problem
    columns = 2 * int(settings["buckets"]) if "buckets" in needed else 0
    return (
        _misfit_shapes(arrays, shapes, labels=labels, columns=columns)
        or _misfit_numbers(arrays, shapes)
        or (_misfit_ngrams(arrays, labels=labels) if "ngram_values" in shapes else None)
    )


def _misfit_settings(settings: Settings) -> str | None:
    for name, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < np.inf:
            return f"{name} of {value!r}, not a positive number"
    return None


def _misfit_shapes(
    arrays: Arrays, shapes: Mapping[str, Shape], *, labels: int, columns: int
) -> str | None:
    """Take each size from the manifest, or from the first array that has it."""
    sizes = {"labels": labels, "columns": columns, "starts": columns + 1}
    for name, shape in shapes.items():
        actual = arrays[name].shape
        expected = tuple(
            sizes.setdefault(size, length) for size, length in zip(shape, actual, strict=False)
        )
        if actual != expected or len(actual) != len(shape):
            named = ", ".join(str(sizes.get(size, size)) for size in shape)
            return f"{name} of shape {actual}, not ({named})"
    return None


def _misfit_numbers(arrays: Arrays, shapes: Mapping[str, Shape]) -> str | None:
    for name in shapes:
        kinds = "iu" if name in ("ngram_labels", "ngram_starts") else "f"
        if arrays[name].dtype.kind not in kinds or not np.isfinite(arrays[name]).all():
            return f"{name} with a value that is not a finite number"
    return None


def _misfit_ngrams(arrays: Arrays, *, labels: int) -> str | None:
    """Check what the sparse product does not: it reads outside of arrays that do not fit."""
    codes = arrays["ngram_labels"]
    starts = arrays["ngram_starts"]
    whole = starts[0] == 0 and starts[-1] == len(codes)
    ordered = bool((starts[:-1] <= starts[1:]).all())
    within = not len(codes) or 0 <= codes.min() <= codes.max() < labels
    if whole and ordered and within:
        return None
    return "n-gram weights that do not fit together"


def softmax(logits: Float32) -> Float32:
    """Return rows of positive numbers that sum to 1: float32 (n, labels).

    The largest logit is subtracted first, so that `exp` cannot overflow.
    """
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Float32 = (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32, copy=False)
    return shares


def _majority(arrays: Arrays, settings: Settings) -> Scorer:
    prior = arrays["log_prior"].astype(np.float32)
    return lambda cleaned, vectors: np.tile(prior, (len(cleaned), 1))


def _logistic(arrays: Arrays, settings: Settings) -> Scorer:
    weights, bias = _tempered(arrays, settings)
    return lambda cleaned, vectors: vectors @ weights + bias


def _hybrid_svm(arrays: Arrays, settings: Settings) -> Scorer:
    weights, bias = _tempered(arrays, settings)
    ngram_logits = _ngram_table(arrays, settings, labels=len(bias))
    return lambda cleaned, vectors: vectors @ weights + bias + ngram_logits(cleaned)


def _tfidf_svm(arrays: Arrays, settings: Settings) -> Scorer:
    bias = arrays["bias"].astype(np.float32) / np.float32(settings["temperature"])
    ngram_logits = _ngram_table(arrays, settings, labels=len(bias))
    return lambda cleaned, vectors: bias + ngram_logits(cleaned)


def _mlp(arrays: Arrays, settings: Settings) -> Scorer:
    weights, bias = _tempered(arrays, settings)
    inner = arrays["hidden_weights"].astype(np.float32)
    inner_bias = arrays["hidden_bias"].astype(np.float32)
    return lambda cleaned, vectors: np.maximum(vectors @ inner + inner_bias, 0) @ weights + bias


def _ensemble(arrays: Arrays, settings: Settings) -> Scorer:
    """Return the logarithm of the weighted mean of both members' probabilities."""
    svm = _hybrid_svm(arrays, settings)
    output = {"weights": arrays["output_weights"], "bias": arrays["output_bias"]}
    perceptron = _mlp({**arrays, **output}, {"temperature": settings["perceptron_temperature"]})
    weight = np.float32(settings["perceptron_weight"])
    temperature = np.float32(settings["mean_temperature"])

    def score(cleaned: Sequence[str], vectors: Float32) -> Float32:
        shares = softmax(svm(cleaned, vectors)) + weight * softmax(perceptron(cleaned, vectors))
        logits = np.log(np.maximum(shares, LEAST_SHARE)) / temperature
        return logits.astype(np.float32, copy=False)

    return score


def _ngram_table(
    arrays: Arrays, settings: Settings, *, labels: int
) -> Callable[[Sequence[str]], Float32]:
    """Return the function from cleaned phrases to their n-grams' logits: float32 (n, labels)."""
    buckets = int(settings["buckets"])
    idf = arrays["idf"].astype(np.float32)
    # Logits are linear in the weights: dividing these once saves a division per request.
    values = arrays["ngram_values"].astype(np.float32) / np.float32(settings["temperature"])
    parts = (values, arrays["ngram_labels"].astype(np.int32), arrays["ngram_starts"])
    table = sparse.csr_matrix(parts, shape=(2 * buckets, labels))

    def score(cleaned: Sequence[str]) -> Float32:
        ngrams = weigh_ngrams(
            count_ngrams(cleaned, buckets=buckets), idf=idf, weight=settings["ngram_weight"]
        )
        logits: Float32 = (as_matrix(ngrams, shape=(len(cleaned), 2 * buckets)) @ table).toarray()
        return logits

    return score


def _tempered(arrays: Arrays, settings: Settings) -> tuple[Float32, Float32]:
    temperature = np.float32(settings["temperature"])
    weights = arrays["weights"].astype(np.float32) / temperature
    bias = arrays["bias"].astype(np.float32) / temperature
    return weights, bias


@dataclass(frozen=True)
class _Kind:
    """How a kind is applied, the arrays that it needs (name -> named sizes), and its settings."""

    make: Callable[[Arrays, Settings], Scorer]
    shapes: Mapping[str, Shape]
    settings: frozenset[str] = frozenset()


_LINEAR: dict[str, Shape] = {"weights": ("dimensions", "labels"), "bias": ("labels",)}
_NGRAMS: dict[str, Shape] = {
    "idf": ("columns",),
    # Sparse rows: weights, label numbers, and the start of each n-gram.
    "ngram_values": ("kept",),
    "ngram_labels": ("kept",),
    "ngram_starts": ("starts",),
}
_PERCEPTRON: dict[str, Shape] = {
    "hidden_weights": ("dimensions", "hidden"),
    "hidden_bias": ("hidden",),
    "weights": ("hidden", "labels"),
    "bias": ("labels",),
}
_MEMBERS: dict[str, Shape] = {
    "hidden_weights": ("dimensions", "hidden"),
    "hidden_bias": ("hidden",),
    # Of the perceptron; `weights` and `bias` are those of the SVC.
    "output_weights": ("hidden", "labels"),
    "output_bias": ("labels",),
}
_TEMPERED = frozenset({"temperature"})
_HASHED = frozenset({"temperature", "buckets", "ngram_weight"})
_AVERAGED = frozenset({"perceptron_temperature", "perceptron_weight", "mean_temperature"})
_KINDS: dict[str, _Kind] = {
    "majority": _Kind(_majority, {"log_prior": ("labels",)}),
    "logistic": _Kind(_logistic, _LINEAR, _TEMPERED),
    "hybrid_svm": _Kind(_hybrid_svm, {**_LINEAR, **_NGRAMS}, _HASHED),
    "tfidf_svm": _Kind(_tfidf_svm, {"bias": ("labels",), **_NGRAMS}, _HASHED),
    "mlp": _Kind(_mlp, _PERCEPTRON, _TEMPERED),
    "ensemble": _Kind(_ensemble, {**_LINEAR, **_NGRAMS, **_MEMBERS}, _HASHED | _AVERAGED),
}
