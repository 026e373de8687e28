"""Fits the temperature that makes a head's probabilities match how often it is right."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from pipelines.model.arrays import Bool, Float32, Float64, Int64
from pipelines.model.scoring import Arrays, Settings, make_scorer, softmax
from pipelines.model.training import TrainingRows, fitting_rows, main_labels

LEAST_TEMPERATURE = 0.05
GREATEST_TEMPERATURE = 20.0


def calibrate(
    kind: str, arrays: Arrays, settings: Settings, rows: TrainingRows, codes: Int64
) -> float:
    """Return the temperature for new phrases, for which the validation slice stands.

    Known phrases are the memory's part: it mixes the head's probability with their own labels.
    """
    chosen = calibration_rows(rows, codes)
    scorer = make_scorer(kind, arrays, settings)
    logits = scorer(rows.cleaned[chosen].tolist(), rows.vectors[chosen])
    return fit_temperature(logits, codes[chosen], weights=rows.weights[chosen])


def calibration_rows(rows: TrainingRows, codes: Int64) -> Bool:
    """Mark the present labels of the validation slice, bool (n,); when it is empty, all of them.

    A label that a phrase had under an earlier rule, or by mistake, says nothing of how often the
    head is right today: with these, it looked less sure of new phrases than it is right.
    `codes` numbers the labels from 0.
    """
    present = main_labels(rows)
    held = ~fitting_rows(rows, codes) & present
    return held if held.any() else present


def fit_temperature(logits: Float32, codes: Int64, *, weights: Float64) -> float:
    """Return the temperature in [0.05, 20] with the least weighted negative log likelihood.

    Temperature scaling as in Guo et al., "On Calibration of Modern Neural Networks" (2017).

    Parameters
    ----------
    logits : float32 (n, labels)
    codes : int (n,), the column of the right label
    weights : (n,)
    """

    def loss(log_temperature: float) -> float:
        chosen = softmax(logits / np.float32(np.exp(log_temperature)))[np.arange(len(codes)), codes]
        return float(-(weights * np.log(np.maximum(chosen, 1e-12))).sum() / weights.sum())

    # The search is over the logarithm: halving and doubling the temperature are steps of one size.
    best = minimize_scalar(
        loss,
        bounds=(np.log(LEAST_TEMPERATURE), np.log(GREATEST_TEMPERATURE)),
        method="bounded",
        options={"xatol": 1e-3},
    )
    return round(float(np.exp(best.x)), 4)
