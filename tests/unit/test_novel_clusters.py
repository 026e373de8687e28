"""Novel phrases of one topic make one cluster."""

from __future__ import annotations

import numpy as np
import pandas as pd

from monitoring.drift.novel_clusters import cluster, novel_clusters
from tests.support.traffic import embed_words, make_scorer, traffic


def window(phrases: dict[str, int]) -> pd.DataFrame:
    cleaned = [phrase for phrase, rows in phrases.items() for _ in range(rows)]
    return pd.DataFrame({"cleaned": cleaned, "label": "label00"})


def test_each_topic_is_one_cluster_and_the_most_asked_comes_first() -> None:
    shared = "alpha beta gamma delta"
    odd = {f"{shared} one": 3, f"{shared} two": 5, "omega psi chi": 2}
    known = {" ".join(f"label00w{number}" for number in range(12)): 40}
    baseline = window(known)
    found = novel_clusters(window(odd | known), baseline, make_scorer(baseline["cleaned"]))
    assert [(row["rows"], row["phrases"]) for row in found] == [(8, 2), (2, 1)]
    assert found[0]["examples"][0] == {"phrase": f"{shared} two", "label": "label00", "rows": 5}


def test_a_window_without_novel_phrases_has_no_cluster() -> None:
    baseline = traffic(days=10, a_day=60, seed=1)
    calm = window({"label00w1 label00w2": 40})
    assert novel_clusters(calm, baseline, make_scorer(baseline["cleaned"])) == []


def test_one_phrase_is_one_cluster() -> None:
    assert cluster(embed_words(["alone"])).tolist() == [1]
    assert cluster(np.empty((0, 3))).tolist() == []
