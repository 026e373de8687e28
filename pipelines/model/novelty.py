"""How far a phrase lies from every label."""

from __future__ import annotations

import numpy as np

from pipelines.model.arrays import Float32, Int64
from pipelines.model.head_file import Head


def novelty(head: Head, vectors: Float32) -> Float32:
    """Return 1 - the largest cosine to a label centroid: float32 (n,), in [0, 2].

    `vectors` are (n, d), of any length.
    """
    nearest = (vectors @ head.centroids.T).max(axis=1)  # before the scaling: the same label is best
    return _distances(nearest, vectors)


def distance_to_label(head: Head, vectors: Float32, labels: Int64) -> Float32:
    """Return 1 - the cosine to the centroid of one label each: float32 (n,), at least the novelty.

    `labels` (n,) are places among the head's labels.
    """
    return _distances(np.einsum("ij,ij->i", vectors, head.centroids[labels]), vectors)


def _distances(products: Float32, vectors: Float32) -> Float32:
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    distances: Float32 = (1 - products / np.maximum(lengths, 1e-12)).astype(np.float32)
    return distances
