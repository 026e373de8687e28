"""Fits the ensemble: a linear SVC and a perceptron, their probabilities averaged.

The weight of the perceptron is fitted on the validation slice, so that it adds little where words
decide and much where the meaning of the phrase does.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from core.params import heads as blocks
from pipelines.model.arrays import AnyArray, Float32, Float64, Int64
from pipelines.model.calibration import calibration_rows, fit_temperature
from pipelines.model.linear_heads import hybrid_svm_steps
from pipelines.model.mlp_head import mlp_steps
from pipelines.model.scoring import Arrays, Fits, Settings, make_scorer, softmax
from pipelines.model.training import TrainingRows

LEAST_WEIGHT = 0.01
GREATEST_WEIGHT = 10.0


def fit_ensemble(params: blocks.EnsembleHead, rows: TrainingRows, seed: int) -> Fits:
    """Fit both members without the validation slice, weigh them on it, and go on with both."""
    svm = hybrid_svm_steps(_svm_params(params), rows, seed)
    perceptron = mlp_steps(_perceptron_params(params), rows, seed)
    weighed = _weigh(next(svm), next(perceptron), rows.without_test())
    for (svm_arrays, settings), (arrays, _) in zip(svm, perceptron, strict=True):
        yield {**svm_arrays, **_renamed(arrays)}, {**settings, **weighed}


def _svm_params(params: blocks.EnsembleHead) -> blocks.HybridSvmHead:
    return blocks.HybridSvmHead(
        C=params.C, ngram_weight=params.ngram_weight, buckets=params.buckets, keep=params.keep
    )


def _perceptron_params(params: blocks.EnsembleHead) -> blocks.MlpHead:
    return blocks.MlpHead(
        kind="mlp", hidden=params.hidden, epochs=params.epochs, dropout=params.dropout
    )


def _renamed(arrays: Arrays) -> dict[str, AnyArray]:
    """Return the arrays of a perceptron under the names that they have beside an SVC."""
    return {
        "hidden_weights": arrays["hidden_weights"],
        "hidden_bias": arrays["hidden_bias"],
        "output_weights": arrays["weights"],
        "output_bias": arrays["bias"],
    }


def _weigh(
    svm: tuple[Arrays, Settings], perceptron: tuple[Arrays, Settings], rows: TrainingRows
) -> dict[str, float]:
    """Return the settings of the mean, fitted on the rows that calibrate."""
    _, codes = np.unique(rows.labels, return_inverse=True)
    chosen = calibration_rows(rows, codes)
    cleaned = rows.cleaned[chosen].tolist()
    vectors = rows.vectors[chosen]
    shares = softmax(make_scorer("hybrid_svm", *svm)(cleaned, vectors))
    others = softmax(make_scorer("mlp", *perceptron)(cleaned, vectors))
    weights = rows.weights[chosen]

    weight = fit_weight(shares, others, codes[chosen], weights=weights)
    mean = np.log(np.maximum(shares + np.float32(weight) * others, 1e-12))
    return {
        "perceptron_temperature": perceptron[1]["temperature"],
        "perceptron_weight": weight,
        "mean_temperature": fit_temperature(mean, codes[chosen], weights=weights),
    }


def fit_weight(first: Float32, second: Float32, codes: Int64, *, weights: Float64) -> float:
    """Return the weight of `second` beside `first`, of weight 1, with the least weighted loss.

    The loss is the negative log likelihood of the right label; the weight lies in [0.01, 10].

    Parameters
    ----------
    first, second : float32 (n, labels), probabilities
    codes : int (n,), the column of the right label
    weights : (n,)
    """
    places = np.arange(len(codes))
    first_right = first[places, codes].astype(np.float64)
    second_right = second[places, codes].astype(np.float64)

    def loss(log_weight: float) -> float:
        weight = np.exp(log_weight)
        right = (first_right + weight * second_right) / (1 + weight)
        return float(-(weights * np.log(np.maximum(right, 1e-12))).sum())

    best = minimize_scalar(
        loss,
        bounds=(np.log(LEAST_WEIGHT), np.log(GREATEST_WEIGHT)),
        method="bounded",
        options={"xatol": 1e-3},
    )
    return round(float(np.exp(best.x)), 4)
