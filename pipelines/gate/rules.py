"""Rules that a champion cannot know: known phrases that have another label since its fit."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa

AGREEING_ROWS = 3
AGREEING_SHARE = 0.8
"""A phrase has a rule when at least three rows are known and at least 80 % of them agree: a wrong
label among them changes nothing."""


def new_rule_rows(labels: pa.Table, rows: pa.Table, fitted_at: datetime) -> np.ndarray:
    """Mark the rows that follow a rule which came after the fit: bool (n,).

    Parameters
    ----------
    labels : split/labels.parquet, from which both rules of a phrase are read
    rows : cleaned, label and occurred_at of the rows to mark
    fitted_at : when the champion was fitted, with a zone
    """
    frame = labels.select(["cleaned", "label", "occurred_at"]).to_pandas()
    later = frame["occurred_at"] > fitted_at
    before = _rules(frame[~later])
    after = _rules(frame[later])
    changed = {
        phrase: label
        for phrase, label in after.items()
        if phrase in before and before[phrase] != label
    }
    frame_to_mark = rows.select(["cleaned", "label", "occurred_at"]).to_pandas()
    follows = frame_to_mark["cleaned"].map(changed) == frame_to_mark["label"]
    return np.asarray(follows & (frame_to_mark["occurred_at"] > fitted_at), dtype=bool)


def _rules(frame: pd.DataFrame) -> dict[str, str]:
    counts = frame.groupby(["cleaned", "label"]).size()
    totals = counts.groupby(level="cleaned").transform("sum")
    agreed = counts[(totals >= AGREEING_ROWS) & (counts >= AGREEING_SHARE * totals)]
    return dict(agreed.index.tolist())
