"""The served head is held against the judged one on the rows that it was taught."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from pipelines.stages import served
from pipelines.stages.served import compare_heads


class Fixed:
    """A head that answers by a list."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.labels = tuple(sorted(set(answers.values())))
        self.answers = answers


def best_answers(head: Fixed, phrases: list[str]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([head.answers[phrase] for phrase in phrases], dtype=object), np.ones(1)


PAIRS = pa.table(
    {
        "cleaned": ["changed", "changed", "steady"],
        "label": ["new", "old", "same"],
        "rows": [0, 60, 40],
        "test_rows": [10, 0, 0],
        "present": [False, True, True],
        "present_with_test": [True, False, True],
    }
)


@pytest.mark.parametrize(
    ("after", "agreement", "accuracy"),
    [
        ({"changed": "new", "steady": "same"}, 1.0, 1.0),
        ({"changed": "old", "steady": "same"}, 1.0, 0.8),
        ({"changed": "new", "steady": "new"}, 0.0, 0.2),
    ],
)
def test_rows_of_a_label_that_a_phrase_no_longer_has_do_not_count(
    monkeypatch: pytest.MonkeyPatch, after: dict[str, str], agreement: float, accuracy: float
) -> None:
    monkeypatch.setattr(served, "best_answers", best_answers)
    judged = Fixed({"changed": "old", "steady": "same"})
    facts = compare_heads(judged, Fixed(after), PAIRS)  # type: ignore[arg-type]
    assert facts["agreement"] == agreement
    assert facts["judged_accuracy"] == 0.8
    assert facts["served_accuracy"] == accuracy
