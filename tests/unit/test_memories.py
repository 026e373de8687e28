from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from pipelines.memory.evidence import weigh_labels
from pipelines.stages.memories import leave_own_out, training_memory
from pipelines.stages.served import served_problem

DAY = datetime(2025, 3, 1, tzinfo=UTC)
SOUND = {"agreement": 1.0, "judged_accuracy": 0.9, "served_accuracy": 0.9, "labels_lost": 0.0}


def labels_of(*rows: tuple[str, str, bool]) -> pa.Table:
    """Rows (phrase, label, test), one a day."""
    return pa.table(
        {
            "id": [str(number) for number in range(len(rows))],
            "cleaned": [phrase for phrase, _, _ in rows],
            "label": [label for _, label, _ in rows],
            "occurred_at": pa.array(
                [DAY + timedelta(days=number) for number in range(len(rows))],
                pa.timestamp("us", "UTC"),
            ),
            "from_source": [True] * len(rows),
            "test": [test for _, _, test in rows],
        }
    )


def test_the_memory_of_a_build_lacks_the_test_rows() -> None:
    memory = training_memory(
        labels_of(("a", "x", False), ("a", "y", True), ("b", "y", True)), classifier="organ"
    )
    place = memory.place("a")
    assert place is not None and set(memory.evidence(place)[1]) == {"x"}
    assert memory.place("b") is None


def test_a_row_is_answered_by_a_memory_that_lacks_it() -> None:
    sequence = "xxyxxxyy"
    table = labels_of(*((("p", label, False)) for label in sequence))
    found = leave_own_out(table, table["id"].to_pylist())
    for place, known in enumerate(found):
        others = sequence[:place] + sequence[place + 1 :]
        expected = weigh_labels(["xy".index(label) for label in others], labels=2)
        assert known is not None and known.labels.tolist() == ["x", "y"]
        assert known.evidence.head_share == pytest.approx(expected.head_share)
        assert np.allclose(known.evidence.weights, expected.weights)


def test_a_row_alone_with_its_phrase_leaves_no_memory() -> None:
    table = labels_of(("once", "x", False), ("twice", "x", False), ("twice", "x", False))
    once, twice, stranger = leave_own_out(table, ["0", "1", "not there"])
    assert once is None and stranger is None
    assert twice is not None and twice.evidence.weights.tolist() == [
        pytest.approx(weigh_labels([0], labels=1).weights[0])
    ]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, ""),
        ({"labels_lost": 2.0}, "lacks 2 labels"),
        ({"agreement": 0.96}, "agree on 96.0%"),
        ({"served_accuracy": 0.89}, "loses 1.0%"),
    ],
)
def test_a_served_head_that_went_astray_is_named(change: dict[str, float], problem: str) -> None:
    stated = served_problem({**SOUND, **change})
    assert problem in stated and bool(stated) == bool(problem)
