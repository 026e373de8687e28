"""The groups among which bias is looked for: region, length, label frequency, source, time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from pipelines.model.arrays import AnyArray, Bool, Strings

RARE_SHARE = 0.05
"""The rarest labels that together have this share of the training rows are the rare ones."""
COMMON_SHARE = 0.5
"""The most frequent labels that together have this share are the common ones."""
LENGTHS = ((1, "1 word"), (3, "2 to 3 words"), (6, "4 to 6 words"))
LONGEST = "7 words or more"
PERIODS = ("first third of the test days", "middle third", "last third")


def regions(table: pa.Table) -> Strings:
    """Return the region of each row, "none" where it has none."""
    return np.array([name or "none" for name in table["region"].to_pylist()], dtype=object)


def phrase_lengths(phrases: Sequence[str] | Strings) -> Strings:
    """Return the class of words of each phrase."""
    return np.array([_length(len(phrase.split())) for phrase in phrases], dtype=object)


def _length(words: int) -> str:
    return next((name for most, name in LENGTHS if words <= most), LONGEST)


def label_frequencies(labels: Strings, *, trained: Bool) -> Strings:
    """Return "common", "middle" or "rare" for the label of each row, by the training rows."""
    names, codes = np.unique(labels, return_inverse=True)
    counts = np.bincount(codes[trained], minlength=len(names))
    order = np.argsort(-counts, kind="stable")
    above = np.empty(len(names))
    above[order] = np.cumsum(counts[order]) / max(counts.sum(), 1)
    share = counts / max(counts.sum(), 1)
    common = above - share < COMMON_SHARE
    rare = ~common & (above - share >= 1 - RARE_SHARE)
    frequency = np.where(common, "common labels", np.where(rare, "rare labels", "middle labels"))
    by_row: Strings = frequency.astype(object)[codes]
    return by_row


def sources(from_source: Bool) -> Strings:
    """Return whether each label is the source's or feedback."""
    return np.where(from_source, "source", "feedback").astype(object)


def periods(occurred_at: AnyArray, *, test: Bool) -> Strings:
    """Return the third of the test rows' days of each row; rows before count to the first."""
    tested = occurred_at[test].astype(np.int64)
    bounds = tested.min() + (tested.max() - tested.min()) * np.array([1, 2]) / 3
    place = np.searchsorted(bounds, occurred_at.astype(np.int64), side="right")
    by_row: Strings = np.array(PERIODS, dtype=object)[place]
    return by_row
