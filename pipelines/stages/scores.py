"""How good answers are: pure, from labels and probabilities to numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

CALIBRATION_BINS = 15


@dataclass(frozen=True)
class ScoredAnswers:
    """Test rows as answered: `truth`, `predicted` (n,) str, `probability` (n,) of the predicted label."""

    truth: np.ndarray
    predicted: np.ndarray
    probability: np.ndarray

    def only(self, chosen: np.ndarray) -> ScoredAnswers:
        return ScoredAnswers(self.truth[chosen], self.predicted[chosen], self.probability[chosen])


def score(answers: ScoredAnswers) -> dict[str, float]:
    """weighted F1 first; then macro F1, accuracy, expected calibration error and the number of rows. Empty for no row."""
    if not len(answers.truth):
        return {}
    from sklearn.metrics import f1_score

    truth, predicted = answers.truth, answers.predicted
    return {
        "weighted_f1": _round(f1_score(truth, predicted, average="weighted", zero_division=0)),
        "macro_f1": _round(
            f1_score(truth, predicted, labels=np.unique(truth), average="macro", zero_division=0)
        ),
        "accuracy": _round(np.mean(truth == predicted)),
        "calibration_error": _round(calibration_error(answers)),
        "rows": len(truth),
    }


def score_labels(answers: ScoredAnswers) -> dict[str, dict[str, float]]:
    """Label of the test rows -> precision, recall, f1, support."""
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
    """The most frequent (label, predicted) errors, most rows first."""
    wrong = answers.truth != answers.predicted
    pairs = Counter(
        zip(answers.truth[wrong].tolist(), answers.predicted[wrong].tolist(), strict=True)
    )
    ranked = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:top]
    return [
        {"label": label, "predicted": predicted, "rows": rows}
        for (label, predicted), rows in ranked
    ]


def reliability(
    answers: ScoredAnswers, *, bins: int = CALIBRATION_BINS
) -> list[tuple[float, float, int]]:
    """Mean probability, accuracy and rows of each filled bin of equal width over [0, 1]."""
    place = np.minimum((answers.probability * bins).astype(int), bins - 1)
    right = answers.truth == answers.predicted
    filled = [place == number for number in range(bins) if (place == number).any()]
    return [
        (float(answers.probability[mine].mean()), float(right[mine].mean()), int(mine.sum()))
        for mine in filled
    ]


def calibration_error(answers: ScoredAnswers) -> float:
    """Expected calibration error: mean gap between probability and accuracy over the bins, weighted by rows, in [0, 1]."""
    curve = reliability(answers)
    return sum(abs(probability - right) * rows for probability, right, rows in curve) / sum(
        rows for _, _, rows in curve
    )


def prefixed(prefix: str, metrics: dict[str, float]) -> dict[str, float]:
    """The same numbers under longer names."""
    return {f"{prefix}{name}": value for name, value in metrics.items()}


def _round(value: float) -> float:
    return round(float(value), 6)
