"""What a head is fitted on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TrainingRows:
    """Distinct (cleaned, label) pairs, the number of rows behind each, their embeddings, and the validation slice.

    `cleaned` (n,) str, `labels` (n,) str, `weights` (n,) rows, `vectors` float32 (n, d), `validation` (n,) bool.
    """

    cleaned: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    vectors: np.ndarray
    validation: np.ndarray
