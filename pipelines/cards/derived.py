"""What the cards compute from the recorded files: intervals, costs, energy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.bias.clustered import mean
from pipelines.model.arrays import Bool, Float64, Int64, Strings
from pipelines.stages.scores import CALIBRATION_BINS

CALIBRATION = "calibration_error"
DRAWS = 400
SEED = 7
WATTS_PER_CORE = 10.0
"""What one busy core of a server draws, memory and cooling included: about 200 W for 20 cores."""
SECONDS_PER_HOUR = 3600.0
THOUSAND = 1000.0
FEWEST_PHRASES = 2
"""With fewer there is no interval."""


def scores_with_intervals(predictions: pa.Table) -> dict[str, dict[str, dict[str, float]]]:
    """Return part of the test rows -> score -> value, low and high, with 95 %.

    `predictions` is evaluation/predictions.parquet. The bootstrap draws phrases, because rows of
    one phrase are answered alike.
    """
    unseen = ~predictions["seen"].to_numpy(zero_copy_only=False)
    parts = {"all": np.ones(len(unseen), bool), "unseen": unseen}
    return {
        name: _scores(predictions.filter(pa.array(rows)))
        for name, rows in parts.items()
        if rows.any()
    }


@dataclass(frozen=True)
class _Answers:
    """Test rows as numbers: labels, phrases, and the bin and the excess of each probability.

    `excess` is the probability minus 1 for a right answer, minus 0 for a wrong one.
    """

    truth: Int64
    predicted: Int64
    labels: int
    phrases: Int64
    bins: Int64
    excess: Float64


def _scores(rows: pa.Table) -> dict[str, dict[str, float]]:
    answers = _coded(rows)
    count = int(answers.phrases.max()) + 1
    point = _of_weights(np.ones(len(answers.phrases)), answers)
    draws = {name: np.empty(DRAWS) for name in point}
    rng = np.random.default_rng(SEED)
    for draw in range(DRAWS):
        drawn = np.bincount(rng.integers(count, size=count), minlength=count)
        weights = drawn[answers.phrases].astype(np.float64)
        for name, value in _of_weights(weights, answers).items():
            draws[name][draw] = value
    return {name: _interval(name, value, draws[name]) for name, value in point.items()}


def _interval(name: str, value: float, draws: Float64) -> dict[str, float]:
    """Return the quantiles of the draws, turned about the value for the calibration error.

    A drawn sample is calibrated worse than its origin, because luck adds to every bin.
    """
    low, high = np.quantile(draws, [0.025, 0.975])
    if name == CALIBRATION:
        low, high = max(2 * value - high, 0.0), 2 * value - low
    bounds = {"value": value, "low": low, "high": high}
    return {place: round(float(bound), 6) for place, bound in bounds.items()}


def _of_weights(weights: Float64, answers: _Answers) -> dict[str, float]:
    """Return the scores of weighted rows, as pipelines/stages/scores.py defines them."""
    is_right = answers.truth == answers.predicted
    right = np.bincount(answers.truth[is_right], weights[is_right], answers.labels)
    support = np.bincount(answers.truth, weights, answers.labels)
    answered = np.bincount(answers.predicted, weights, answers.labels)
    f1 = 2 * right / np.maximum(support + answered, 1e-12)
    gaps = np.bincount(answers.bins, weights * answers.excess, CALIBRATION_BINS)
    return {
        "accuracy": float(right.sum() / support.sum()),
        "weighted_f1": float((f1 * support).sum() / support.sum()),
        "macro_f1": float(f1[support > 0].mean()),
        CALIBRATION: float(np.abs(gaps).sum() / support.sum()),
    }


def _coded(rows: pa.Table) -> _Answers:
    truth = rows["label"].to_pylist()
    names, codes = np.unique(
        np.array(truth + rows["predicted"].to_pylist(), dtype=str), return_inverse=True
    )
    right = codes[: len(truth)] == codes[len(truth) :]
    probability = rows["probability"].to_numpy()
    bins = np.minimum((probability * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    return _Answers(
        truth=codes[: len(truth)],
        predicted=codes[len(truth) :],
        labels=len(names),
        phrases=_phrases(rows),
        bins=bins,
        excess=probability - right,
    )


def _phrases(rows: pa.Table) -> Int64:
    codes = rows["cleaned"].combine_chunks().dictionary_encode().indices.to_numpy()
    _, phrases = np.unique(codes, return_inverse=True)
    return phrases


def cost_per_thousand(predictions: pa.Table, costs: Mapping[str, Any] | None) -> dict[str, float]:
    """Return what a thousand answers cost, with its interval.

    Without `costs`, every wrong answer costs 1.
    """
    truth = np.array(predictions["label"].to_pylist(), dtype=object)
    predicted = np.array(predictions["predicted"].to_pylist(), dtype=object)
    each = answer_costs(truth, predicted, costs or {})
    around = mean(each, _phrases(predictions))
    low = max(around.low, 0.0)
    values = {"value": around.value, "low": low, "high": around.high}
    return {name: round(THOUSAND * value, 4) for name, value in values.items()}


def answer_costs(truth: Strings, predicted: Strings, costs: Mapping[str, Any]) -> Float64:
    """Return the cost of each answer: that of the pair, else of the right label, else the default.

    A right answer costs nothing.
    """
    wrong: Bool = truth != predicted
    labels = costs.get("labels", {})
    default = costs.get("default", 1.0)
    each = np.array([labels.get(label, default) for label in truth.tolist()], float)
    for pair in costs.get("pairs", ()):
        each[(truth == pair["right"]) & (predicted == pair["answered"])] = pair["cost"]
    charged: Float64 = np.where(wrong, each, 0.0)
    return charged


def energy(times: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return CPU seconds of all stages and an estimate of their energy in watt hours."""
    seconds = sum(stage["cpu_seconds"] for stage in times.values())
    hours = seconds / SECONDS_PER_HOUR
    return {
        "cpu_seconds": round(seconds, 2),
        "watt_hours": round(hours * WATTS_PER_CORE, 4),
        "watts_per_core": WATTS_PER_CORE,
    }


def derive(
    predictions: pa.Table | None, *, costs: Mapping[str, Any] | None, times: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the facts `derived` of a version; parts whose files are missing are left out."""
    facts: dict[str, Any] = {"energy": energy(times)} if times else {}
    if predictions is not None and len(set(_phrases(predictions))) >= FEWEST_PHRASES:
        facts["scores"] = scores_with_intervals(predictions)
        facts["cost"] = cost_per_thousand(predictions, costs)
    return facts
