"""What the cards compute from the recorded files: intervals, costs, energy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.bias.clustered import mean
from pipelines.model.arrays import Bool, Float64, Int64, Strings

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


def _scores(rows: pa.Table) -> dict[str, dict[str, float]]:
    truth, predicted, labels = _coded(rows)
    phrases = _phrases(rows)
    count = int(phrases.max()) + 1
    point = _of_weights(np.ones(len(phrases)), truth, predicted, labels)
    draws = {name: np.empty(DRAWS) for name in point}
    rng = np.random.default_rng(SEED)
    for draw in range(DRAWS):
        drawn = np.bincount(rng.integers(count, size=count), minlength=count)
        weights = drawn[phrases].astype(np.float64)
        for name, value in _of_weights(weights, truth, predicted, labels).items():
            draws[name][draw] = value
    return {name: _interval(value, draws[name]) for name, value in point.items()}


def _interval(value: float, draws: Float64) -> dict[str, float]:
    low, high = np.quantile(draws, [0.025, 0.975])
    return {"value": round(value, 6), "low": round(float(low), 6), "high": round(float(high), 6)}


def _of_weights(weights: Float64, truth: Int64, predicted: Int64, labels: int) -> dict[str, float]:
    """Return the scores of weighted rows, as scores.py defines them."""
    right = np.bincount(truth[truth == predicted], weights[truth == predicted], labels)
    support = np.bincount(truth, weights, labels)
    answered = np.bincount(predicted, weights, labels)
    f1 = 2 * right / np.maximum(support + answered, 1e-12)
    present = support > 0
    return {
        "accuracy": float(right.sum() / support.sum()),
        "weighted_f1": float((f1 * support).sum() / support.sum()),
        "macro_f1": float(f1[present].mean()),
    }


def _coded(rows: pa.Table) -> tuple[Int64, Int64, int]:
    truth = rows["label"].to_pylist()
    names, codes = np.unique(
        np.array(truth + rows["predicted"].to_pylist(), dtype=str), return_inverse=True
    )
    return codes[: len(truth)], codes[len(truth) :], len(names)


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
    found: dict[str, Any] = {"energy": energy(times)} if times else {}
    if predictions is not None and len(set(_phrases(predictions))) >= FEWEST_PHRASES:
        found["scores"] = scores_with_intervals(predictions)
        found["cost"] = cost_per_thousand(predictions, costs)
    return found
