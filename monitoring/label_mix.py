"""How the labels of a snapshot differ from those of the one before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class LabelChange:
    """Rows of a label now and before, and its share of all rows, in [0, 1]."""

    label: str
    rows: int
    rows_before: int
    share: float
    share_before: float


@dataclass(frozen=True)
class LabelMix:
    """The labels of a snapshot, the most frequent first, beside those of the one before.

    `moved` is the share of the rows that would have to change their label to get from one mix to
    the other, in [0, 1].
    """

    changes: Sequence[LabelChange]
    new: Sequence[str]
    gone: Sequence[str]
    moved: float


def compare_labels(rows: Mapping[str, int], before: Mapping[str, int]) -> LabelMix:
    """Compare the rows by label of a snapshot with those of another one."""
    total = max(sum(rows.values()), 1)
    total_before = max(sum(before.values()), 1)
    changes = [
        LabelChange(
            label,
            rows.get(label, 0),
            before.get(label, 0),
            rows.get(label, 0) / total,
            before.get(label, 0) / total_before,
        )
        for label in {*rows, *before}
    ]
    moved = sum(abs(change.share - change.share_before) for change in changes) / 2
    return LabelMix(
        changes=sorted(changes, key=lambda change: (-change.rows, change.label)),
        new=sorted(set(rows) - set(before)),
        gone=sorted(set(before) - set(rows)),
        moved=moved if rows and before else 0.0,
    )
