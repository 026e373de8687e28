"""The cost matrix of a classifier, and what answers cost by it: pure."""

from __future__ import annotations

import numpy as np

from core.params.costs import CostParams
from pipelines.model.arrays import Float64, Int64, Strings


def cost_matrix(costs: CostParams, labels: Strings) -> Float64:
    """Return the cost of answering the label of a column for that of a row: float64 (k, k).

    Costs of labels that are not among `labels` are left out.
    """
    place_of = {str(label): place for place, label in enumerate(labels)}
    matrix = np.full((len(labels), len(labels)), costs.default)
    for label, cost in costs.labels.items():
        if label in place_of:
            matrix[place_of[label]] = cost
    for pair in costs.pairs:
        if pair.right in place_of and pair.answered in place_of:
            matrix[place_of[pair.right], place_of[pair.answered]] = pair.cost
    np.fill_diagonal(matrix, 0.0)
    return matrix


def answer_costs(matrix: Float64, right: Int64, answered: Int64) -> Float64:
    """Return the cost of each answer: float64 (n,)."""
    costs: Float64 = matrix[right, answered]
    return costs
