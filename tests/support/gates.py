"""Rows for the gate, about which nothing is known but both answers and the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.gate.rows import GateRows


def gate_rows(
    truth: Sequence[str] | np.ndarray,
    phrases: Sequence[str] | np.ndarray,
    candidate: Sequence[str] | np.ndarray,
    champion: Sequence[str] | np.ndarray | None,
    *,
    floor: str,
) -> GateRows:
    """Every row has weight 1 and judges; there are no slices and no drift."""
    count = len(truth)
    _, codes = np.unique(np.asarray(phrases, dtype=str), return_inverse=True)
    return GateRows(
        truth=np.asarray(truth, dtype=str),
        phrases=codes,
        candidate=np.asarray(candidate, dtype=str),
        champion=None if champion is None else np.asarray(champion, dtype=str),
        floor=floor,
        weights=np.ones(count),
        judges=np.ones(count, dtype=bool),
    )
