"""Arrivals with what the oracle knows of them, as parallel columns."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True, eq=False)
class Arrivals:
    """What arrives on a day, in order of time. All arrays (n,).

    Attributes
    ----------
    second : time within the day
    region : names
    phrase, cleaned : as it comes, and as `clean_phrase` leaves it
    label, other : numbers of the right labels; `other` is -1 unless the phrase truly has two
    share : how often `label` is right, in (0.5, 1]
    truth : the label that is right this time: `label` or `other`
    event : number of the event that brought the row, or -1
    """

    second: np.ndarray
    region: np.ndarray
    phrase: np.ndarray
    cleaned: np.ndarray
    label: np.ndarray
    other: np.ndarray
    share: np.ndarray
    truth: np.ndarray
    event: np.ndarray

    def __len__(self) -> int:
        return len(self.second)

    def only(self, chosen: np.ndarray) -> Arrivals:
        columns = {field.name: getattr(self, field.name)[chosen] for field in fields(self)}
        return Arrivals(**columns)

    def chance_right(self, answers: np.ndarray) -> np.ndarray:
        """The oracle's probability that each answer (a label number, -1 for none) is right."""
        second_best = np.where(answers == self.other, 1 - self.share, 0.0)
        return np.where(answers == self.label, self.share, second_best)


def expected_weighted_f1(arrivals: Arrivals, answers: np.ndarray) -> float:
    """Weighted F1 in expectation over the right labels of phrases that truly have two."""
    two = arrivals.other >= 0
    truth = np.concatenate([arrivals.label, arrivals.other[two]])
    weight = np.concatenate([arrivals.share, 1 - arrivals.share[two]])
    given = np.concatenate([answers, answers[two]])
    size = int(max(truth.max(initial=0), given.max(initial=0))) + 2  # the last: an unknown answer
    actual = np.bincount(truth, weight, size)
    predicted = np.bincount(given % size, weight, size)
    hits = np.bincount(truth[truth == given], weight[truth == given], size)
    f1 = 2 * hits / np.maximum(actual + predicted, 1e-12)
    return float((f1 * actual).sum() / max(actual.sum(), 1e-12))
