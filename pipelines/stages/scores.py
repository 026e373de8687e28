"""Scores answers: pure functions from labels and probabilities to numbers, rounded to 6 digits."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.model.arrays import Bool, Float64, Strings

CALIBRATION_BINS = 15
"""As in Guo et al., "On Calibration of Modern Neural Networks" (2017)."""


@dataclass(frozen=True)
class ScoredAnswers:
    """Test rows as answered.

    Attributes
    ----------
    truth, predicted : str (n,)
    probability : float64 (n,), of the predicted label
    """

    truth: Strings
    predicted: Strings
    probability: Float64

    def only(self, chosen: Bool) -> ScoredAnswers:
        """Return the rows where `chosen`, bool (n,), is true."""
        return ScoredAnswers(self.truth[chosen], self.predicted[chosen], self.probability[chosen])


def score(answers: ScoredAnswers) -> dict[str, float]:
    """Return weighted F1, macro F1, accuracy, calibration error and rows; empty for no rows.

    The macro F1 is the mean over the labels of the test rows: a label that is only predicted lowers
    the precision of others but does not count as a label with an F1 of 0.
    """
    if not len(answers.truth):
        return {}
    from sklearn.metrics import f1_score

    truth = answers.truth
    predicted = answers.predicted
    labels = np.unique(truth)
    macro_f1 = f1_score(truth, predicted, labels=labels, average="macro", zero_division=0)
    return {
        "weighted_f1": _round(f1_score(truth, predicted, average="weighted", zero_division=0)),
        "macro_f1": _round(macro_f1),
        "accuracy": _round(np.mean(truth == predicted)),
        "calibration_error": _round(calibration_error(answers)),
        "rows": len(truth),
    }


def score_labels(answers: ScoredAnswers) -> dict[str, dict[str, float]]:
    """Return label -> precision, recall, f1 and support, for the labels of the test rows."""
    from sklearn.metrics import precision_recall_fscore_support

    labels = np.unique(answers.truth)
    columns = precision_recall_fscore_support(
        answers.truth, answers.predicted, labels=labels, zero_division=0
    )
    return {
        str(label): {
            "precision": _round(precision),
            "recall": _round(recall),
            "f1": _round(f1),
            "support": int(support),
        }
        for label, precision, recall, f1, support in zip(labels, *columns, strict=True)
    }


def confused_pairs(answers: ScoredAnswers, *, top: int) -> list[dict[str, Any]]:
    """Return the most frequent errors as (label, predicted, rows), most rows first."""
    wrong = answers.truth != answers.predicted
    labels = answers.truth[wrong].tolist()
    predictions = answers.predicted[wrong].tolist()
    pairs = Counter(zip(labels, predictions, strict=True))
    ranked = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:top]
    return [
        {"label": label, "predicted": predicted, "rows": rows}
        for (label, predicted), rows in ranked
    ]


def reliability(answers: ScoredAnswers) -> list[tuple[float, float, int]]:
    """Return mean probability, accuracy and rows of each filled bin of equal width over [0, 1]."""
    place = np.minimum((answers.probability * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    right = answers.truth == answers.predicted
    members = [place == number for number in range(CALIBRATION_BINS)]
    return [
        (float(answers.probability[inside].mean()), float(right[inside].mean()), int(inside.sum()))
        for inside in members
        if inside.any()
    ]


def calibration_error(answers: ScoredAnswers) -> float:
    """Return the expected calibration error, in [0, 1].

    It is the mean gap between probability and accuracy over the bins, weighted by rows.
    """
    curve = reliability(answers)
    gaps = sum(abs(probability - right) * rows for probability, right, rows in curve)
    return gaps / sum(rows for _, _, rows in curve)


def prefixed(prefix: str, metrics: dict[str, float]) -> dict[str, float]:
    """Return the same numbers with `prefix` in front of each name."""
    return {f"{prefix}{name}": value for name, value in metrics.items()}


def _round(value: float) -> float:
    return round(float(value), 6)
