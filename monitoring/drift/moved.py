"""Which phrases a drift consists of, and how many of their answers somebody has labelled. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

PHRASES_KEPT = 300
"""The most frequent ones stand for a drift; labels of rarer phrases change little."""
PHRASES_NAMED = 20
DRAWS = 10
USUAL_SWING = 2.0
"""Standard deviations by which the number of rows of one phrase moves without a drift."""

Labelled = Callable[[Sequence[str]], np.ndarray]
"""Cleaned phrases to bool (n,): whether somebody has labelled the phrase."""


def moved_phrases(window: pd.DataFrame, baseline: pd.DataFrame) -> pd.DataFrame:
    """Return phrase, label, rows: how many rows each phrase has beyond what the past explains.

    The largest comes first; at most PHRASES_KEPT. `label` is the answer that was given.
    """
    groups = window.groupby("cleaned", sort=True)["label"]
    phrases = groups.agg(label="first", count="size")
    weight = baseline["weight"].astype(float).groupby(baseline["cleaned"]).sum()
    share = weight.reindex(phrases.index).fillna(0.0) / max(float(weight.sum()), 1e-9)
    expected = share * len(window)
    phrases["rows"] = phrases["count"] - expected - USUAL_SWING * np.sqrt(expected)
    moved = phrases[phrases["rows"] > 0].sort_values("rows", ascending=False, kind="stable")
    kept = moved.head(PHRASES_KEPT).rename_axis("phrase").reset_index()
    return kept[["phrase", "label", "rows"]]


def beyond_usual(
    moved: pd.DataFrame, baseline: pd.DataFrame, *, size: int, labelled: Labelled, seed: int
) -> pd.DataFrame:
    """Leave out as many of the smallest rows, with and without a label, as calm traffic shows.

    Most phrases are rare: in calm traffic, too, each window has many that its past lacks, and the
    source has labelled most of them. They would pass for the labels of a drift.
    """
    known = labelled(moved["phrase"].tolist())
    usual = usual_rows(baseline, size=size, labelled=labelled, seed=seed)
    kept = [
        _without_smallest(moved[marks], rows)
        for marks, rows in zip((known, ~known), usual, strict=True)
    ]
    return pd.concat(kept).sort_index().reset_index(drop=True)


def usual_rows(
    baseline: pd.DataFrame, *, size: int, labelled: Labelled, seed: int
) -> tuple[float, float]:
    """Return how many rows with and without a label move in `size` calm answers.

    The mean over DRAWS: the days of the past are dealt into two halves, and answers drawn from one
    are compared with the other.
    """
    random = np.random.default_rng(seed)
    days, group = np.unique(baseline["occurred_at"].dt.floor("D"), return_inverse=True)
    totals = np.zeros(2)
    for _ in range(DRAWS if len(days) > 1 else 0):
        drawn_from = np.isin(group, random.permutation(len(days))[: len(days) // 2])
        half = baseline[drawn_from]
        answers = half.sample(size, replace=True, weights=half["weight"], random_state=random)
        moved = moved_phrases(answers, baseline[~drawn_from])
        known = labelled(moved["phrase"].tolist())
        totals += moved.loc[known, "rows"].sum(), moved.loc[~known, "rows"].sum()
    with_label, without = totals / DRAWS
    return float(with_label), float(without)


def _without_smallest(moved: pd.DataFrame, rows: float) -> pd.DataFrame:
    """Leave out the smallest until `rows` are gone; `moved` is in descending order."""
    from_below = moved["rows"].to_numpy()[::-1].cumsum()[::-1]
    return moved[from_below > rows]


def labelled_share(moved: pd.DataFrame, labelled: Labelled) -> float:
    """Return the share of the moved rows whose phrase has a label; 1 when no phrase moved."""
    total = float(moved["rows"].sum())
    if not total:
        return 1.0
    known = labelled(moved["phrase"].tolist())
    return float(moved.loc[known, "rows"].sum() / total)


def label_requests(moved: pd.DataFrame, labelled: Labelled) -> list[dict[str, Any]]:
    """Return the unlabelled phrases with the most rows, as {phrase, label, rows}."""
    missing = moved[~labelled(moved["phrase"].tolist())] if len(moved) else moved
    return [
        {
            "phrase": str(row["phrase"])[:200],
            "label": str(row["label"]),
            "rows": max(round(float(row["rows"])), 1),
        }
        for row in missing.head(PHRASES_NAMED).to_dict("records")
    ]
