"""The rows of a snapshot as arrays: which phrases occur, how often, and which label is right."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa

from core.errors import TrainingImpossible
from core.params.schema import ClassifierParams
from pipelines.stages.labelled_rows import LabelledRows, labelled_rows, of_line, within_history
from pipelines.stages.present import present_pairs, single_acts

NEWEST_DAYS = 90
"""Days of newest rows that the simulated traffic is drawn from; more for a longer simulation."""
LARGEST_PART = 1 / 3
"""Of the days of the rows: the rest stays the past that trains."""
_DAY = 86_400.0
_YEAR_DAYS = 365
_JUDGED = 10
"""Rows of a phrase in the newest year before a second label counts as one of two."""
_SECOND = 0.2
"""Share of these rows that the second label has."""


@dataclass(frozen=True, eq=False)
class Phrasebook:
    """Phrases (m,) and their rows (n,), in order of time; labels are numbers into `labels`.

    Attributes
    ----------
    label, other, share : of each phrase, as in `Arrivals`
    phrase, recorded, region : of each row
    moment : seconds of each row since the simulation begins; the past is negative
    from_source : rows that people did not give as feedback
    """

    labels: tuple[str, ...]
    phrases: np.ndarray
    label: np.ndarray
    other: np.ndarray
    share: np.ndarray
    phrase: np.ndarray
    recorded: np.ndarray
    region: np.ndarray
    moment: np.ndarray
    from_source: np.ndarray

    @property
    def newest(self) -> np.ndarray:
        """Numbers of the rows that the simulated traffic is drawn from."""
        return np.flatnonzero(self.from_source & (self.moment >= 0))

    @property
    def a_day(self) -> float:
        """Rows a day among the newest."""
        newest = self.moment[self.newest]
        days = math.ceil(float(newest.max(initial=0.0)) / _DAY)
        return len(newest) / max(1, days)


def read_phrasebook(table: pa.Table, block: ClassifierParams, *, days: int) -> Phrasebook:
    """Return the rows of a snapshot that a simulation of `days` needs.

    Raises `TrainingImpossible` when none has a phrase and a label.
    """
    table = of_line(table, block.line.value if block.line else None)
    rows = labelled_rows(table, label=block.source.label)
    if not rows.from_source.any():
        raise TrainingImpossible(
            f"rows of the source with a phrase and a label in {block.source.label}",
            came="none in the snapshot",
            do="correct the query or source.label, then run `perennial snapshot`",
        )
    start = _beginning(rows, days=days)
    newest = int((rows.occurred_at.max() - start) / np.timedelta64(1, "D")) + 1
    rows = within_history(rows, days=block.fixed_history_days + newest)
    labels, recorded = np.unique(rows.labels.astype(str), return_inverse=True)
    label, other, share = right_labels(rows, recorded, labels=len(labels))
    return Phrasebook(
        labels=tuple(labels.tolist()),
        phrases=rows.phrases,
        label=label,
        other=other,
        share=share,
        phrase=rows.phrase_codes,
        recorded=recorded,
        region=rows.regions,
        moment=(rows.occurred_at - start) / np.timedelta64(1, "s"),
        from_source=rows.from_source,
    )


def _beginning(rows: LabelledRows, *, days: int) -> np.datetime64:
    """The midnight at which the simulation begins: before the newest rows, which it replays."""
    moments = rows.occurred_at[rows.from_source]
    end = moments.max().astype("datetime64[D]") + np.timedelta64(1, "D")
    span = int((end - moments.min().astype("datetime64[D]")) / np.timedelta64(1, "D"))
    part = max(1, min(max(NEWEST_DAYS, days), int(span * LARGEST_PART)))
    return np.datetime64(end - np.timedelta64(part, "D"), "us")


def right_labels(
    rows: LabelledRows, recorded: np.ndarray, *, labels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return `label`, `other` and `share` of each phrase.

    The right label is the one that the phrase has now. A frequent phrase has two when the rows of
    the newest year say so; any other label was a mistake.
    """
    keys = rows.phrase_codes.astype(np.int64) * labels + recorded
    pairs, pair_of_row = np.unique(keys, return_inverse=True)
    phrase_of_pair = pairs // labels
    acts = single_acts(pair_of_row, rows.occurred_at, from_source=rows.from_source)
    every = np.ones(len(keys), bool)
    present = present_pairs(pair_of_row, phrase_of_pair, acts, among=every)
    label = np.zeros(len(rows.phrases), int)
    label[phrase_of_pair[present]] = pairs[present] % labels
    year = rows.occurred_at > rows.occurred_at.max() - np.timedelta64(timedelta(days=_YEAR_DAYS))
    counts = np.bincount(pair_of_row[year], minlength=len(pairs))
    other, share = _second_labels(pairs % labels, phrase_of_pair, counts, label)
    return label, other, share


def _second_labels(
    label_of_pair: np.ndarray, phrase_of_pair: np.ndarray, counts: np.ndarray, label: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    other = np.full(len(label), -1)
    share = np.ones(len(label))
    rows = np.bincount(phrase_of_pair, counts, minlength=len(label))
    contested = (rows[phrase_of_pair] >= _JUDGED) & (label_of_pair != label[phrase_of_pair])
    first = np.zeros(len(label))
    is_right = label_of_pair == label[phrase_of_pair]
    first[phrase_of_pair[is_right]] = counts[is_right]
    for pair in np.flatnonzero(contested & (counts >= _SECOND * rows[phrase_of_pair])).tolist():
        phrase = phrase_of_pair[pair]
        of_two = first[phrase] / (first[phrase] + counts[pair])
        if of_two > 0.5 and of_two < share[phrase]:  # else a label that came to stay
            other[phrase] = label_of_pair[pair]
            share[phrase] = of_two
    return other, share
