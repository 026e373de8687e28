"""What a person needs to see of a window: labels that moved, and phrases the head knows least."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

LABELS_SHOWN = 8
PHRASES_SHOWN = 10


def moved_labels(window: pd.DataFrame, baseline: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the labels whose share of the rows moved most, as {label, before, now}.

    The largest move comes first.
    """
    rows = baseline["weight"].astype(float).groupby(baseline["label"]).sum()
    shares = pd.DataFrame(
        {
            "before": rows / max(rows.sum(), 1e-9),
            "now": window["label"].value_counts(normalize=True),
        }
    ).fillna(0.0)
    moves = (shares["now"] - shares["before"]).abs()
    largest = moves.sort_values(ascending=False, kind="stable").index[:LABELS_SHOWN]
    moved = shares.loc[largest].round(4).rename_axis("label").reset_index()
    return [
        {"label": str(row["label"]), "before": row["before"], "now": row["now"]}
        for row in moved.to_dict("records")
    ]


def novel_phrases(window: pd.DataFrame, novelty: np.ndarray) -> list[dict[str, Any]]:
    """Return the distinct phrases farthest from every label, as {phrase, label, novelty, rows}.

    The farthest phrase comes first.
    """
    groups = window.assign(novelty=novelty).groupby("cleaned", sort=True)
    phrases = groups.agg(
        label=("label", "first"), novelty=("novelty", "first"), rows=("label", "size")
    )
    farthest = phrases.sort_values("novelty", ascending=False, kind="stable").head(PHRASES_SHOWN)
    return [
        {
            "phrase": str(phrase)[:200],
            "label": row.label,
            "novelty": round(float(row.novelty), 4),
            "rows": int(row.rows),
        }
        for phrase, row in farthest.iterrows()
    ]
