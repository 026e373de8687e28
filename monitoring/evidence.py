"""What a person wants to see of a window: the labels that moved, the phrases the head knows least, the numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

LABELS_SHOWN = 8
PHRASES_SHOWN = 10


def moved_labels(window: pd.DataFrame, normal: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the labels whose share of the rows moved most: {label, before, now}, largest move first."""
    rows = normal["weight"].astype(float).groupby(normal["label"]).sum()
    shares = pd.DataFrame(
        {
            "before": rows / max(rows.sum(), 1e-9),
            "now": window["label"].value_counts(normalize=True),
        }
    ).fillna(0.0)
    largest = (
        (shares["now"] - shares["before"])
        .abs()
        .sort_values(ascending=False, kind="stable")
        .index[:LABELS_SHOWN]
    )
    told = shares.loc[largest].round(4).rename_axis("label").reset_index()
    return [
        {"label": str(row["label"]), "before": row["before"], "now": row["now"]}
        for row in told.to_dict("records")
    ]


def novel_phrases(window: pd.DataFrame, novelty: np.ndarray) -> list[dict[str, Any]]:
    """Return the distinct phrases farthest from every label: {phrase, label, novelty, rows}, farthest first."""
    told = window.assign(novelty=novelty).groupby("cleaned", sort=True).agg(
        label=("label", "first"), novelty=("novelty", "first"), rows=("label", "size")
    )  # fmt: skip
    farthest = told.sort_values("novelty", ascending=False, kind="stable").head(PHRASES_SHOWN)
    return [
        {
            "phrase": str(phrase)[:200],
            "label": row.label,
            "novelty": round(float(row.novelty), 4),
            "rows": int(row.rows),
        }
        for phrase, row in farthest.iterrows()
    ]
