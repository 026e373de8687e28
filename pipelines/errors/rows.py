"""The answered test rows as arrays, with what their slices are cut by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.model.arrays import AnyArray, Bool, Float64, Int64, Strings


@dataclass(frozen=True)
class AnsweredRows:
    """Test rows as one version answered them.

    Attributes
    ----------
    phrases : str (m,), distinct cleaned phrases
    codes : int (n,), places in `phrases`
    truth, predicted : str (n,)
    probability : float64 (n,), of the predicted label
    seen : bool (n,), its phrase was trained on
    region : str (n,), "" where the source gives none
    occurred_at : datetime64 (n,), UTC
    from_source : bool (n,), false for rows from feedback
    """

    phrases: Strings
    codes: Int64
    truth: Strings
    predicted: Strings
    probability: Float64
    seen: Bool
    region: Strings
    occurred_at: AnyArray
    from_source: Bool

    @property
    def wrong(self) -> Bool:
        """Mark the mistakes: bool (n,)."""
        marks: Bool = self.truth != self.predicted
        return marks


def answered_rows(predictions: pa.Table, recent: pa.Table, labels: pa.Table) -> AnsweredRows:
    """Join evaluation/predictions.parquet with split/recent.parquet and split/labels.parquet."""
    cleaned = predictions["cleaned"].combine_chunks().dictionary_encode()
    return AnsweredRows(
        phrases=np.array(cleaned.dictionary.to_pylist(), dtype=object),
        codes=cleaned.indices.to_numpy().astype(np.int64),
        truth=np.array(predictions["label"].to_pylist(), dtype=object),
        predicted=np.array(predictions["predicted"].to_pylist(), dtype=object),
        probability=predictions["probability"].to_numpy(),
        seen=predictions["seen"].to_numpy(zero_copy_only=False),
        region=np.array(_joined(predictions, recent, "region", missing=""), dtype=object),
        occurred_at=predictions["occurred_at"].cast(pa.timestamp("us")).to_numpy(),
        from_source=np.array(_joined(predictions, labels, "from_source", missing=True), dtype=bool),
    )


def _joined(rows: pa.Table, others: pa.Table, column: str, *, missing: object) -> list[object]:
    """Return a column of the other table, by id."""
    places = pc.index_in(rows["id"], value_set=others["id"].combine_chunks())
    values: list[object] = pc.fill_null(
        others[column].combine_chunks().take(places.combine_chunks()), missing
    ).to_pylist()
    return values
