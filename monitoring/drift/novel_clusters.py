"""Novel phrases in clusters: a person reads one example of each topic, not one topic ten times."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from monitoring.windows.scoring import WindowScorer

PHRASES_CLUSTERED = 200
CLUSTERS_SHOWN = 10
EXAMPLES_SHOWN = 4
TOPIC = 0.5
"""Largest mean cosine distance within a cluster."""


def novel_clusters(
    window: pd.DataFrame, baseline: pd.DataFrame, scorer: WindowScorer
) -> list[dict[str, Any]]:
    """Return clusters of the phrases that the past lacks, as {rows, phrases, novelty, examples}.

    The PHRASES_CLUSTERED farthest from every label are clustered. The cluster with the most answers
    comes first, and so does the example.
    """
    groups = window.assign(novelty=scorer.novelty(window)).groupby("cleaned", sort=True)
    phrases = groups.agg(
        label=("label", "first"), novelty=("novelty", "first"), rows=("label", "size")
    )
    new = phrases[~phrases.index.isin(baseline["cleaned"])]
    farthest = new.sort_values("novelty", ascending=False, kind="stable")
    chosen = farthest.head(PHRASES_CLUSTERED)
    if chosen.empty:
        return []
    numbers = cluster(scorer.vectors(chosen.index.tolist()))
    clusters = [_described(chosen[numbers == number]) for number in np.unique(numbers)]
    return sorted(clusters, key=lambda described: -described["rows"])[:CLUSTERS_SHOWN]


def cluster(vectors: np.ndarray) -> np.ndarray:
    """Return int (n,): the cluster of each unit vector, by mean cosine distance."""
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(vectors) < 2:
        return np.ones(len(vectors), dtype=int)
    tree = linkage(vectors.astype(float), method="average", metric="cosine")
    return np.asarray(fcluster(tree, t=TOPIC, criterion="distance"), dtype=int)


def _described(phrases: pd.DataFrame) -> dict[str, Any]:
    most = phrases.sort_values("rows", ascending=False, kind="stable").head(EXAMPLES_SHOWN)
    return {
        "rows": int(phrases["rows"].sum()),
        "phrases": len(phrases),
        "novelty": round(float(phrases["novelty"].mean()), 4),
        "examples": [
            {"phrase": str(phrase)[:200], "label": str(row.label), "rows": int(row.rows)}
            for phrase, row in most.iterrows()
        ],
    }
