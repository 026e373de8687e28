"""How far a phrase lies from every label."""

from __future__ import annotations

import numpy as np

from pipelines.model.arrays import Float32
from pipelines.model.head_file import Head


def novelty(head: Head, vectors: Float32) -> Float32:
    """Return 1 - the largest cosine to a label centroid: float32 (n,), in [0, 2].

    `vectors`, (n, d), are scaled to unit length first.
    """
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    cosines = (vectors / lengths) @ head.centroids.T
    distances: Float32 = (1 - cosines.max(axis=1)).astype(np.float32)
    return distances
