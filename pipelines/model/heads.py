"""Fits any kind of head: training rows in, a head out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

from core import head_params as blocks
from pipelines.model.arrays import AnyArray, Int64
from pipelines.model.head_file import Head
from pipelines.model.linear_heads import fit_hybrid_svm, fit_logistic, fit_tfidf_svm
from pipelines.model.mlp_head import fit_mlp
from pipelines.model.scoring import Arrays, Settings
from pipelines.model.training import TrainingRows

__all__ = ["TrainingRows", "fit_head"]


def fit_head(params: blocks.Head, *, training: TrainingRows, embedder_id: str, seed: int) -> Head:
    """Fit the head that `params.kind` names; deterministic by seed.

    Its labels are those of the rows, sorted by code point.
    """
    label_set, codes = np.unique(training.labels, return_inverse=True)
    arrays, settings = _FITS[params.kind](params, training, codes, seed)
    arrays = {**arrays, "centroids": _centroids(training, codes)}
    return Head(
        params.kind, tuple(str(label) for label in label_set), embedder_id, arrays, settings
    )


def _centroids(training: TrainingRows, codes: Int64) -> AnyArray:
    """Return the unit mean embedding of each label, float16 (labels, d), for `novelty`."""
    share = sparse.csr_matrix((training.weights.astype(np.float64), (codes, np.arange(len(codes)))))
    sums = share @ training.vectors
    lengths = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    centroids: AnyArray = (sums / lengths).astype(np.float16)
    return centroids


def _fit_majority(
    params: blocks.MajorityHead, rows: TrainingRows, codes: Int64, seed: int
) -> tuple[Arrays, Settings]:
    shares = np.bincount(codes, weights=rows.weights) / rows.weights.sum()
    return {"log_prior": np.log(shares).astype(np.float32)}, {}


_FITS: dict[str, Callable[..., tuple[Arrays, Settings]]] = {
    "majority": _fit_majority,
    "logistic": fit_logistic,
    "hybrid_svm": fit_hybrid_svm,
    "tfidf_svm": fit_tfidf_svm,
    "mlp": fit_mlp,
}
