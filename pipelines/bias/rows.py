"""The rows that bias is measured on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipelines.bias import groups
from pipelines.model.arrays import AnyArray, Bool, Int64, Strings


@dataclass(frozen=True)
class BiasRows:
    """The labelled rows of a split, and what was answered for the test rows.

    Attributes
    ----------
    phrases : int (n,), numbers of the cleaned phrases
    texts : str (phrases,), these phrases
    labels : str (n,)
    recent : bool (n,), among the newest test_days
    test : bool (n,), a test row
    predicted : str (test rows,), the answers of the judged head beside its memory
    groups : dimension -> the group of each row, str (n,)
    """

    phrases: Int64
    texts: Strings
    labels: Strings
    recent: Bool
    test: Bool
    predicted: Strings
    groups: Mapping[str, Strings]


def bias_rows(labels: pa.Table, predictions: pa.Table) -> BiasRows:
    """Read split/labels.parquet and evaluation/predictions.parquet.

    Both hold the test rows in order of time.
    """
    cleaned = labels["cleaned"].combine_chunks().dictionary_encode()
    phrases = cleaned.indices.to_numpy().astype(np.int64)
    texts = np.array(cleaned.dictionary.to_pylist(), dtype=object)
    names = _strings(labels, "label")
    test = labels["test"].to_numpy(zero_copy_only=False)
    occurred_at: AnyArray = labels["occurred_at"].to_numpy()
    return BiasRows(
        phrases=phrases,
        texts=texts,
        labels=names,
        recent=occurred_at >= occurred_at[test].min(),
        test=test,
        predicted=_strings(predictions, "predicted"),
        groups={
            "region": groups.regions(labels),
            "phrase length": groups.phrase_lengths(texts)[phrases],
            "label frequency": groups.label_frequencies(names, trained=~test),
            "label source": groups.sources(labels["from_source"].to_numpy(zero_copy_only=False)),
            "time": groups.periods(occurred_at, test=test),
        },
    )


def _strings(table: pa.Table, name: str) -> Strings:
    return np.array(table[name].to_pylist(), dtype=object)
