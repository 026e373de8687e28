"""What the rows of a source are, and which rows a classifier would learn. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.params.schema import ClassifierParams
from pipelines.source.columns import MOMENT
from pipelines.stages.labelled_rows import (
    LabelledRows,
    leave_out_rare,
    within_history,
)
from pipelines.stages.split import SplitMasks, refuse_impossible, split_rows

LONGEST_PHRASE = 2000
"""The service accepts none that is longer."""


@dataclass(frozen=True)
class SourceProfile:
    """Facts of a source's rows.

    Attributes
    ----------
    rows : of the table, with those that are left out
    labels : label -> rows, the most frequent first, of the labels that are kept
    rare : the same of the labels that are left out
    lengths : characters of the shortest, the median and the longest phrase
    left_out : reason -> rows, without those of 0
    conflicting : share of the distinct phrases that have several labels
    per_day : rows per day between the first and the last, None for one moment
    """

    rows: int
    labels: dict[str, int]
    rare: dict[str, int]
    phrases: int
    lengths: tuple[int, int, int]
    conflicting: float
    first: datetime
    last: datetime
    per_day: float | None
    left_out: dict[str, int]


@dataclass(frozen=True)
class Learnable:
    """The rows that a classifier would learn from, and their split."""

    rows: LabelledRows
    rare: dict[str, int]
    masks: SplitMasks


def missing_values(table: pa.Table, columns: Mapping[str, str]) -> dict[str, int]:
    """Return reason -> rows for each column of `columns` (column -> reason) without a value."""
    blank = {
        reason: pc.fill_null(pc.equal(pc.utf8_trim_whitespace(table[column]), ""), True)
        for column, reason in columns.items()
    }
    counts = {reason: int(pc.sum(marked).as_py() or 0) for reason, marked in blank.items()}
    return {reason: count for reason, count in counts.items() if count}


def learn(labelled: LabelledRows, *, block: ClassifierParams, seed: int) -> Learnable:
    """Split the rows as the stage `split` would.

    Raises `TrainingImpossible` when they cannot carry a classifier.
    """
    known = within_history(labelled, days=block.fixed_history_days)
    rows, rare = leave_out_rare(known, min_rows=block.min_rows_per_label)
    masks = split_rows(rows, test_days=block.test_days, seed=seed)
    refuse_impossible(rows, masks, rare)
    return Learnable(rows, rare, masks)


def usable(table: pa.Table, *, now: datetime) -> tuple[pa.Table, dict[str, int]]:
    """Return the rows that a snapshot would keep, with `origin`; and reason -> rows left out."""
    come = pc.less_equal(table["occurred_at"], pa.scalar(now, MOMENT))
    short = pc.less_equal(pc.utf8_length(pc.fill_null(table["phrase"], "")), LONGEST_PHRASE)
    counts = {
        "dated in the future": pc.sum(pc.invert(come)).as_py() or 0,
        f"longer than {LONGEST_PHRASE:,} characters": pc.sum(pc.invert(short)).as_py() or 0,
    }
    kept = table.filter(pc.and_(come, short))
    kept = kept.append_column("origin", pa.array(["source"] * len(kept), pa.string()))
    return kept, {reason: count for reason, count in counts.items() if count}


def describe(
    table: pa.Table, learnable: Learnable, *, rows_of_table: int, left_out: Mapping[str, int]
) -> SourceProfile:
    """Return the facts of the rows; `table` are those of the query, of `rows_of_table`."""
    rows = learnable.rows
    labels, counts = np.unique(rows.labels, return_counts=True)
    pairs = len(set(zip(rows.phrase_codes.tolist(), rows.labels.tolist(), strict=True)))
    codes = np.unique(rows.phrase_codes)
    lengths = [len(phrase) for phrase in rows.phrases[codes]]
    first, last = pc.min_max(table["occurred_at"]).as_py().values()
    days = (last - first).total_seconds() / 86_400
    rare = {f"of labels with few rows ({len(learnable.rare)})": sum(learnable.rare.values())}
    return SourceProfile(
        rows=rows_of_table,
        labels=_most_frequent_first(dict(zip(labels.tolist(), counts.tolist(), strict=True))),
        rare=_most_frequent_first(learnable.rare),
        phrases=len(codes),
        lengths=(min(lengths), int(np.median(lengths)), max(lengths)),
        conflicting=(pairs - len(codes)) / len(codes),
        first=first,
        last=last,
        per_day=len(table) / days if days else None,
        left_out={**left_out, **(rare if learnable.rare else {})},
    )


def _most_frequent_first(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])))
