"""The rows of a snapshot that a classifier can learn from: labelled, recent, no rare label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.errors import TrainingImpossible
from pipelines.model.arrays import AnyArray, Bool, Int64, Strings
from pipelines.model.text import clean_learnable

REGIONS_SHOWN = 20
"""In an error."""
ORDER = [("occurred_at", "ascending"), ("id", "ascending")]


@dataclass(frozen=True)
class LabelledRows:
    """The labelled rows of one classifier, ordered by (occurred_at, id).

    Attributes
    ----------
    ids, labels, regions : str (n,)
    occurred_at : datetime64[us] (n,), UTC
    from_source : bool (n,), false for rows from feedback
    phrase_codes : int (n,), places in `phrases`
    phrases : str (m,), distinct cleaned phrases, sorted
    """

    ids: Strings
    labels: Strings
    regions: Strings
    occurred_at: AnyArray
    from_source: Bool
    phrase_codes: Int64
    phrases: Strings

    def only(self, chosen: Bool) -> LabelledRows:
        """Return the rows where `chosen`, bool (n,), is true, with the same `phrases`."""
        return LabelledRows(
            ids=self.ids[chosen],
            labels=self.labels[chosen],
            regions=self.regions[chosen],
            occurred_at=self.occurred_at[chosen],
            from_source=self.from_source[chosen],
            phrase_codes=self.phrase_codes[chosen],
            phrases=self.phrases,
        )


def labelled_rows(table: pa.Table, *, label: str) -> LabelledRows:
    """Return the rows with a value in the column `label`, trimmed, and a phrase to learn from.

    A row from feedback may carry the label of another classifier only.
    """
    trimmed = pc.utf8_trim_whitespace(table[label])
    table = table.set_column(table.column_names.index(label), label, trimmed)
    table = table.filter(_has_label(table[label])).sort_by(ORDER)
    distinct = pc.unique(table["phrase"]).to_pylist()
    cleaned_of = {phrase: clean_learnable(phrase) for phrase in distinct}
    cleaned = np.array([cleaned_of[phrase] for phrase in table["phrase"].to_pylist()], dtype=object)
    phrases, codes = np.unique(cleaned, return_inverse=True)
    rows = LabelledRows(
        ids=_column(table, "id"),
        labels=_column(table, label),
        regions=_column(table, "region"),
        occurred_at=table["occurred_at"].cast(pa.timestamp("us")).to_numpy(),
        from_source=pc.equal(table["origin"], "source").to_numpy(),
        phrase_codes=codes,
        phrases=phrases,
    )
    return rows.only(cleaned != "")


def of_line(table: pa.Table, value: str | None) -> pa.Table:
    """Return the rows of the region `value`; all rows for None.

    Raises `TrainingImpossible` when the region has no row, naming the regions that have.
    """
    if value is None:
        return table
    regions = pc.utf8_trim_whitespace(table["region"])
    own = table.filter(pc.equal(regions, value))
    if not own.num_rows:
        raise TrainingImpossible(
            f"rows of the region {value!r}",
            came=_counted(regions),
            do="correct the region in the block's `line` or `lines`, or the column region in the "
            "query",
        )
    return own


def _counted(regions: pa.ChunkedArray) -> str:
    """Say how many rows each region has, the largest first."""
    counts = pc.value_counts(regions.combine_chunks()).to_pylist()
    largest = sorted(counts, key=lambda count: (-count["counts"], str(count["values"])))
    shown = [f"{count['values'] or 'no region'} ({count['counts']:,} rows)" for count in largest]
    return ", ".join(shown[:REGIONS_SHOWN]) or "no rows"


def _has_label(labels: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(pc.not_equal(labels, ""), False)


def _column(table: pa.Table, name: str) -> Strings:
    return np.array(table[name].to_pylist(), dtype=object)


def within_history(rows: LabelledRows, *, days: int) -> LabelledRows:
    """Return the rows of the last `days` before the newest source row, and all later ones."""
    return rows.only(newest_days(rows, days)) if len(rows.ids) else rows


def newest_days(rows: LabelledRows, days: int) -> Bool:
    """Mark the rows of the last `days`: bool (n,).

    Days count back from the newest source row. Otherwise a correction made today would empty the
    test days of a source that ends last spring.
    """
    dated = rows.occurred_at[rows.from_source] if rows.from_source.any() else rows.occurred_at
    newest: Bool = rows.occurred_at > dated.max() - np.timedelta64(days, "D")
    return newest


def leave_out_rare(rows: LabelledRows, *, min_rows: int) -> tuple[LabelledRows, dict[str, int]]:
    """Drop the labels with fewer rows than `min_rows`; also return how many rows each had."""
    labels, codes, counts = np.unique(rows.labels, return_inverse=True, return_counts=True)
    left_out = {
        str(label): int(count)
        for label, count in zip(labels, counts, strict=True)
        if count < min_rows
    }
    return rows.only(counts[codes] >= min_rows), left_out
