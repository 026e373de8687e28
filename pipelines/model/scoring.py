"""Applying a head: arrays in, logits out. Needs numpy and scipy alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pipelines.model.features import as_matrix, count_ngrams, weigh_ngrams

Arrays = Mapping[str, np.ndarray]
Settings = Mapping[str, float]
Shape = tuple[str, ...]  # sizes by name: labels, dimensions, hidden, columns, kept, starts
Scorer = Callable[
    [Sequence[str], np.ndarray], np.ndarray
]  # cleaned, vectors -> logits float32 (n, labels)


def make_scorer(kind: str, arrays: Arrays, settings: Settings) -> Scorer:
    """Return the function that gives a head's logits; what can be prepared once is prepared here."""
    return _KINDS[kind].make(arrays, settings)


def misfit(kind: str, arrays: Arrays, settings: Settings, *, labels: int) -> str | None:
    """What keeps these arrays from being a head of this kind, in one clause; None when nothing does."""
    if kind not in _KINDS:
        return f"an unknown kind, {kind}"
    shapes, needed = (
        {**_KINDS[kind].shapes, "centroids": ("labels", "dimensions")},
        _KINDS[kind].settings,
    )
    missing = sorted((set(shapes) - set(arrays)) | (needed - set(settings)))
    if missing:
        return f"kind {kind} without {', '.join(missing)}"
    return (
        _misfit_settings({name: settings[name] for name in sorted(needed)})
        or _misfit_shapes(
            arrays,
            shapes,
            labels=labels,
            columns=2 * int(settings["buckets"]) if "buckets" in needed else 0,
        )
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
    """Each size is told by the manifest, or by the first array that has it."""
    sizes = {"labels": labels, "columns": columns, "starts": columns + 1}
    for name, shape in shapes.items():
        found = arrays[name].shape
        wanted = tuple(
            sizes.setdefault(size, came) for size, came in zip(shape, found, strict=False)
        )
        if found != wanted or len(found) != len(shape):
            return f"{name} of shape {found}, not ({', '.join(str(sizes.get(size, size)) for size in shape)})"
    return None


def _misfit_numbers(arrays: Arrays, shapes: Mapping[str, Shape]) -> str | None:
    for name in shapes:
        kinds = "iu" if name in ("ngram_labels", "ngram_starts") else "f"
        if arrays[name].dtype.kind not in kinds or not np.isfinite(arrays[name]).all():
            return f"{name} with something that is no number"
    return None


def _misfit_ngrams(arrays: Arrays, *, labels: int) -> str | None:
    """The sparse product trusts these arrays blindly."""
    codes, starts = arrays["ngram_labels"], arrays["ngram_starts"]
    sound = starts[0] == 0 and starts[-1] == len(codes) and bool((starts[:-1] <= starts[1:]).all())
    sound = sound and (not len(codes) or 0 <= codes.min() <= codes.max() < labels)
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
    ngram_logits = _ngram_table(arrays, settings, labels=len(bias))
    return lambda cleaned, vectors: vectors @ weights + bias + ngram_logits(cleaned)


def _tfidf_svm(arrays: Arrays, settings: Settings) -> Scorer:
    bias = arrays["bias"].astype(np.float32) / np.float32(settings["temperature"])
    ngram_logits = _ngram_table(arrays, settings, labels=len(bias))
    return lambda cleaned, vectors: bias + ngram_logits(cleaned)


def _mlp(arrays: Arrays, settings: Settings) -> Scorer:
    weights, bias = _tempered(arrays, settings)
    inner, inner_bias = (
        arrays[name].astype(np.float32) for name in ("hidden_weights", "hidden_bias")
    )
    return lambda cleaned, vectors: np.maximum(vectors @ inner + inner_bias, 0) @ weights + bias


def _ngram_table(
    arrays: Arrays, settings: Settings, *, labels: int
) -> Callable[[Sequence[str]], np.ndarray]:
    """cleaned -> what their n-grams add to the logits: float32 (n, labels)."""
    buckets, idf = int(settings["buckets"]), arrays["idf"].astype(np.float32)
    values = arrays["ngram_values"].astype(np.float32) / np.float32(settings["temperature"])
    parts = (values, arrays["ngram_labels"].astype(np.int32), arrays["ngram_starts"])
    table = sparse.csr_matrix(parts, shape=(2 * buckets, labels))

    def score(cleaned: Sequence[str]) -> np.ndarray:
        found = weigh_ngrams(
            count_ngrams(cleaned, buckets=buckets), idf=idf, weight=settings["ngram_weight"]
        )
        return (as_matrix(found, shape=(len(cleaned), 2 * buckets)) @ table).toarray()

    return score


def _tempered(arrays: Arrays, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    temperature = np.float32(settings["temperature"])
    return arrays["weights"].astype(np.float32) / temperature, arrays["bias"].astype(
        np.float32
    ) / temperature


@dataclass(frozen=True)
class _Kind:
    """How a kind is applied, the arrays that it needs (name -> named sizes), and its settings."""

    make: Callable[[Arrays, Settings], Scorer]
    shapes: Mapping[str, Shape]
    settings: frozenset[str] = frozenset()


_LINEAR: dict[str, Shape] = {"weights": ("dimensions", "labels"), "bias": ("labels",)}
_NGRAMS: dict[str, Shape] = {
    "idf": ("columns",),
    "ngram_values": ("kept",),  # sparse rows: weights, label numbers, where each n-gram starts
    "ngram_labels": ("kept",),
    "ngram_starts": ("starts",),
}
_PERCEPTRON: dict[str, Shape] = {
    "hidden_weights": ("dimensions", "hidden"),
    "hidden_bias": ("hidden",),
    "weights": ("hidden", "labels"),
    "bias": ("labels",),
}
_TEMPERED, _HASHED = (
    frozenset({"temperature"}),
    frozenset({"temperature", "buckets", "ngram_weight"}),
)
_KINDS: dict[str, _Kind] = {
    "majority": _Kind(_majority, {"log_prior": ("labels",)}),
    "logistic": _Kind(_logistic, _LINEAR, _TEMPERED),
    "hybrid_svm": _Kind(_hybrid_svm, {**_LINEAR, **_NGRAMS}, _HASHED),
    "tfidf_svm": _Kind(_tfidf_svm, {"bias": ("labels",), **_NGRAMS}, _HASHED),
    "mlp": _Kind(_mlp, _PERCEPTRON, _TEMPERED),
}
