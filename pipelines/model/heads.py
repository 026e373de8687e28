"""Fits any kind of head: rows in, a judged and a served head out.

The judged head has not seen the test rows; evaluation and comparisons use it. Then the same fit
goes on with all rows, and that head answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from core.params import heads as blocks
from pipelines.model.arrays import AnyArray, Int64
from pipelines.model.ensemble_head import fit_ensemble
from pipelines.model.head_file import Head
from pipelines.model.linear_heads import fit_hybrid_svm, fit_logistic, fit_tfidf_svm
from pipelines.model.mlp_head import fit_mlp
from pipelines.model.scoring import Arrays, Fits, Settings
from pipelines.model.training import TrainingRows

__all__ = ["Heads", "TrainingRows", "fit_head", "fit_heads", "head_fits"]


@dataclass(frozen=True)
class Heads:
    """The two heads of one fit. The labels of `served` contain those of `judged`."""

    judged: Head
    served: Head


def head_fits(
    params: blocks.Head,
    training: TrainingRows,
    *,
    embedder_id: str,
    seed: int,
    favour: blocks.Favour = "weighted",
) -> Iterator[Head]:
    """Fit the judged head, then the served one, each when it is asked for; deterministic by seed.

    `params` names the kind. The labels of a head are those of its rows, sorted by code point.
    """
    training = replace(training, favour=favour)
    fit = _FITS[params.kind](params, training, seed)
    judged = _head(params.kind, next(fit), training.without_test(), embedder_id)
    yield judged
    if training.test_weights is None:
        yield judged
    else:
        yield _head(params.kind, next(fit), training.with_test(), embedder_id)


def fit_heads(
    params: blocks.Head,
    *,
    training: TrainingRows,
    embedder_id: str,
    seed: int,
    favour: blocks.Favour = "weighted",
) -> Heads:
    """Fit both heads."""
    return Heads(*head_fits(params, training, embedder_id=embedder_id, seed=seed, favour=favour))


def fit_head(
    params: blocks.Head,
    *,
    training: TrainingRows,
    embedder_id: str,
    seed: int,
    favour: blocks.Favour = "weighted",
) -> Head:
    """Fit the judged head alone."""
    fits = head_fits(params, training, embedder_id=embedder_id, seed=seed, favour=favour)
    return next(fits)


def _head(kind: str, fitted: tuple[Arrays, Settings], rows: TrainingRows, embedder_id: str) -> Head:
    arrays, settings = fitted
    label_set, codes = np.unique(rows.labels, return_inverse=True)
    arrays = {**arrays, "centroids": _centroids(rows, codes)}
    return Head(kind, tuple(str(label) for label in label_set), embedder_id, arrays, settings)


def _centroids(training: TrainingRows, codes: Int64) -> AnyArray:
    """Return the unit mean embedding of each label, float16 (labels, d), for `novelty`."""
    share = sparse.csr_matrix((training.weights.astype(np.float64), (codes, np.arange(len(codes)))))
    sums = share @ training.vectors
    lengths = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    centroids: AnyArray = (sums / lengths).astype(np.float16)
    return centroids


def _fit_majority(params: blocks.MajorityHead, training: TrainingRows, seed: int) -> Fits:
    for rows in (training.without_test(), training.with_test()):
        _, codes = np.unique(rows.labels, return_inverse=True)
        shares = np.bincount(codes, weights=rows.weights) / rows.weights.sum()
        yield {"log_prior": np.log(shares).astype(np.float32)}, {}


_FITS: dict[str, Callable[..., Fits]] = {
    "majority": _fit_majority,
    "logistic": fit_logistic,
    "hybrid_svm": fit_hybrid_svm,
    "tfidf_svm": fit_tfidf_svm,
    "mlp": fit_mlp,
    "ensemble": fit_ensemble,
}
