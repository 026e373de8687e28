"""Clusters of phrases that say nearly the same: pure."""

from __future__ import annotations

import numpy as np

from pipelines.model.arrays import Float32, Int64

SAME = 0.35
"""Mean cosine distance up to which two groups of phrases are one cluster."""


def cluster_vectors(vectors: Float32) -> Int64:
    """Return the number of each vector's cluster, int64 (n,); `vectors` are (n, d).

    Quadratic in n: a few hundred vectors take milliseconds, 2,000 half a second.
    """
    from sklearn.cluster import AgglomerativeClustering

    if len(vectors) < 2:
        return np.zeros(len(vectors), np.int64)
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    clustering = AgglomerativeClustering(
        n_clusters=None, metric="cosine", linkage="average", distance_threshold=SAME
    )
    return np.asarray(clustering.fit_predict(vectors / lengths), np.int64)
