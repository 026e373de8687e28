"""Which answers people should look at: each strategy is a plain function of what is known.

A strategy takes `StrategyInputs` and returns candidates, those to look at first in front. The
`value` of a candidate is how many answers of the coming week its label will correct: how often the
phrase will be asked (`monitoring/review/asking.py`) times how likely its answer is wrong. That is
the expected gain of a label under 0-1 loss (R. A. Howard, 1966, "Information value theory"), taken
for the phrase alone: what a retraining makes of the label for others comes on top.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from core.label_reports import Suspect
from monitoring.review.clusters import cluster_vectors
from pipelines.model.arrays import Float32

NOVEL_SHARE = 0.25
"""Of the phrases without a label, those farthest from everything that the champion has learnt."""


@dataclass(frozen=True)
class ReviewCandidate:
    """An answer that a strategy wants to be looked at.

    `probability`, in (0, 1], is how likely this answer was to be drawn; None: it was not drawn.
    """

    strategy: str
    cleaned: str
    request_id: str
    value: float
    probability: float | None = None


@dataclass(frozen=True, eq=False)
class StrategyInputs:
    """What strategies choose from.

    Attributes
    ----------
    phrases : PHRASE_COLUMNS of `asking`, the phrases of the recent log
    labelled : phrases of which people have said the label, or that they have pinned
    drawn : request_id, cleaned, probability: the answers of this refill's random draw
    requested : cleaned phrases that a drift asks labels for, the most urgent first
    vectors : float32 (len(novel), d), of the phrases that are listed in `novel`
    novel : cleaned phrase -> distance from what the champion has learnt, for unlabelled phrases
    disagreements : cleaned, request_id, doubt: answers that another version gives otherwise
    unseen : labels on which the gate could not have proved a fall
    contradicted : cleaned phrase -> share of its labels that another label outvotes
    suspects : request id -> rows of the source whose label is probably wrong
    """

    phrases: pd.DataFrame
    drawn: pd.DataFrame
    labelled: Collection[str] = frozenset()
    requested: tuple[str, ...] = ()
    novel: Mapping[str, float] = field(default_factory=dict)
    vectors: Float32 = field(default_factory=lambda: np.empty((0, 0), np.float32))
    disagreements: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=["cleaned", "request_id", "doubt"])
    )
    unseen: Collection[str] = frozenset()
    contradicted: Mapping[str, float] = field(default_factory=dict)
    suspects: Mapping[str, Suspect] = field(default_factory=dict)

    @property
    def unlabelled(self) -> pd.DataFrame:
        """The phrases whose label people have not said."""
        return self.phrases[~self.phrases["cleaned"].isin(list(self.labelled))]


Strategy = Callable[[StrategyInputs], list[ReviewCandidate]]


def random_sample(inputs: StrategyInputs) -> list[ReviewCandidate]:
    """Return the answers that were drawn; what they are plays no part."""
    return [
        ReviewCandidate("random", row.cleaned, row.request_id, 0.0, row.probability)
        for row in inputs.drawn.itertuples()
    ]


def low_confidence(inputs: StrategyInputs) -> list[ReviewCandidate]:
    """Return the phrases by the number of answers that the champion itself expects to be wrong."""
    return _ranked("low_confidence", _valued(inputs.unlabelled))


def novel(inputs: StrategyInputs) -> list[ReviewCandidate]:
    """Return phrases unlike what the champion has learnt: one of each cluster, then the others.

    The label of the first one is a label for its cluster, whose answers make its value.
    """
    far = _far_phrases(inputs)
    if far.empty:
        return []
    far["cluster"] = cluster_vectors(inputs.vectors[far["place"].to_numpy()])
    far = far.sort_values(["value", "cleaned"], ascending=[False, True])
    far["turn"] = far.groupby("cluster").cumcount()
    whole = far.groupby("cluster")["value"].transform("sum")
    far["value"] = np.where(far["turn"] == 0, whole, far["value"])
    return _ranked("novel", far, first="turn")


def disagreement(inputs: StrategyInputs) -> list[ReviewCandidate]:
    """Return the phrases whose label another version would change: one of the two is wrong."""
    asks = inputs.unlabelled[["cleaned", "asks"]]
    rows = inputs.disagreements.merge(asks, on="cleaned")
    return _ranked("disagreement", _valued(rows))


def unseen(inputs: StrategyInputs) -> list[ReviewCandidate]:
    """Return answers with labels that the gate cannot judge: one of each label, then the others."""
    chosen = inputs.unlabelled[inputs.unlabelled["label"].isin(list(inputs.unseen))]
    rows = _valued(chosen).sort_values(["value", "cleaned"], ascending=[False, True])
    rows["turn"] = rows.groupby("label").cumcount()
    return _ranked("unseen", rows, first="turn")


def contradicted(inputs: StrategyInputs) -> list[ReviewCandidate]:
    """Return phrases to which people gave different labels and that are still asked."""
    rows = pd.DataFrame(
        {"cleaned": list(inputs.contradicted), "doubt": list(inputs.contradicted.values())}
    )
    phrases = inputs.phrases[["cleaned", "request_id", "asks"]]
    return _ranked("contradicted", _valued(rows.merge(phrases, on="cleaned")))


def suspects(inputs: StrategyInputs) -> list[ReviewCandidate]:
    """Return rows of the source by the answers that their label spoils.

    Where heads learn the label, these are all answers to the phrase.
    """
    asks = dict(zip(inputs.phrases["cleaned"], inputs.phrases["asks"].astype(float), strict=True))
    rows = [
        (suspect.cleaned, request_id, _spoilt(suspect, asks.get(suspect.cleaned, 0.0)))
        for request_id, suspect in inputs.suspects.items()
        if suspect.cleaned not in inputs.labelled
    ]
    return _ranked("suspects", pd.DataFrame(rows, columns=["cleaned", "request_id", "value"]))


def _spoilt(suspect: Suspect, asks: float) -> float:
    live = asks * suspect.proposed_share if suspect.teaches else 0.0
    return max(suspect.spoilt_a_week, live)


STRATEGIES: Mapping[str, Strategy] = {
    "random": random_sample,
    "low_confidence": low_confidence,
    "novel": novel,
    "disagreement": disagreement,
    "unseen": unseen,
    "contradicted": contradicted,
    "suspects": suspects,
}


def requested(inputs: StrategyInputs) -> list[ReviewCandidate]:
    """Return the phrases that a drift asks labels for; they come before all strategies."""
    rows = _valued(inputs.phrases).set_index("cleaned")
    in_rows = [phrase for phrase in inputs.requested if phrase in rows.index]
    chosen = rows.loc[in_rows]
    return [
        ReviewCandidate("requested", str(phrase), str(row.request_id), float(row.value))
        for phrase, row in chosen.iterrows()
    ]


def _far_phrases(inputs: StrategyInputs) -> pd.DataFrame:
    """Return the NOVEL_SHARE of the unlabelled phrases that are farthest, with their place."""
    distances = np.array(list(inputs.novel.values()))
    if not len(distances):
        return pd.DataFrame()
    far = pd.DataFrame({"cleaned": list(inputs.novel), "place": np.arange(len(distances))})
    far = far[distances >= np.quantile(distances, 1 - NOVEL_SHARE)]
    return _valued(far.merge(inputs.unlabelled, on="cleaned"))


def _valued(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(value=rows["doubt"].astype(float) * rows["asks"].astype(float))


def _ranked(
    strategy: str, rows: pd.DataFrame, *, first: str | None = None
) -> list[ReviewCandidate]:
    """Return candidates of positive value, the most valuable first, within each turn."""
    rows = rows[rows["value"] > 0]
    keys = [first] if first else []
    order = [True] * len(keys) + [False, True]
    rows = rows.sort_values([*keys, "value", "cleaned"], ascending=order, kind="stable")
    return [
        ReviewCandidate(strategy, str(row.cleaned), str(row.request_id), float(row.value))
        for row in rows.itertuples()
    ]
