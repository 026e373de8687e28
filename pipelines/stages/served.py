"""Whether the head that is served is still the one that was judged."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from pipelines.model.head_file import Head
from pipelines.stages.evaluation import best_answers

LEAST_AGREEMENT = 0.97
"""Share of training rows that both heads must answer alike. Heads of sound fits agree on 99 %;
the test rows, 2 % of all, cannot move more unless the fit went astray."""
MAX_LOSS = 0.005
"""Accuracy on all rows that the served head may lose against the judged one: it has learnt
them."""


def compare_heads(judged: Head, served: Head, pairs: pa.Table) -> dict[str, float]:
    """Return `agreement`, `judged_accuracy`, `served_accuracy` and `labels_lost`.

    Agreement is a share of training rows, both accuracies are shares of all rows. Rows of a label
    that their phrase no longer has teach nothing and do not count, nor do rows of a phrase whose
    label changed with the test rows count for agreement. `pairs` is split/train.parquet.
    """
    cleaned = pairs["cleaned"].combine_chunks().dictionary_encode()
    phrases = cleaned.dictionary.to_pylist()
    places = cleaned.indices.to_numpy()
    before = best_answers(judged, phrases)[0][places]
    after = best_answers(served, phrases)[0][places]
    truth = np.array(pairs["label"].to_pylist(), dtype=object)
    taught = pairs["present_with_test"].to_numpy(zero_copy_only=False)
    lasting = taught & pairs["present"].to_numpy(zero_copy_only=False)
    rows = pairs["rows"].to_numpy().astype(float)
    every = (rows + pairs["test_rows"].to_numpy()) * taught
    trained = rows * lasting
    return {
        "agreement": _share(before == after, trained),
        "judged_accuracy": _share(before == truth, every),
        "served_accuracy": _share(after == truth, every),
        "labels_lost": float(len(set(judged.labels) - set(served.labels))),
    }


def _share(marks: np.ndarray, weights: np.ndarray) -> float:
    return round(float(weights[marks].sum() / weights.sum()), 6)


def served_problem(facts: Mapping[str, float]) -> str:
    """Return in one clause why the served head must not answer; "" when it may.

    `facts` are those of `compare_heads`. That all numbers are finite is checked when a head is
    loaded.
    """
    if facts["labels_lost"]:
        return f"the served head lacks {facts['labels_lost']:.0f} labels of the judged one"
    if facts["agreement"] < LEAST_AGREEMENT:
        return (
            f"served and judged head agree on {facts['agreement']:.1%} of the training rows, "
            f"at least {LEAST_AGREEMENT:.0%} are required"
        )
    lost = facts["judged_accuracy"] - facts["served_accuracy"]
    if lost > MAX_LOSS:
        return f"the served head loses {lost:.1%} of accuracy on the rows that it has learnt"
    return ""
