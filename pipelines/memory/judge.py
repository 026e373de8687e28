"""Does the memory earn its place? Labels are predicted by what was known before each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import betainc, betaln

from pipelines.memory.build import DECIDING, count_acts, moments
from pipelines.memory.evidence import (
    Evidence,
    extend_runs,
    mix_runs,
    no_run,
    repeat_deciding,
)
from pipelines.memory.relabelled import relabelled_since

LEVEL = 0.05
"""Chance that a memory no worse than the head alone is switched off, however often it is judged."""
MOST_PER_PHRASE = 20
"""Newest labels of one phrase that are predicted: a test by signs takes labels as independent.

A phrase that is labelled ten thousand times decides no more than one labelled 20 times.
"""
HEAD_PROBABILITY = 0.999
"""Assumed of the head's own label, which favours the head. At 1, one label would tie with it."""


@dataclass(frozen=True)
class Forecast:
    """Labels that memory and head predicted; of those where only one was right, whose."""

    labels: int
    memory_right: int
    head_right: int
    only_memory: int
    only_head: int

    @property
    def loses(self) -> bool:
        """True when the head alone predicts better where they differ.

        The memory is judged whenever labels came, so that a test for one look would switch a good
        one off in time. This one is anytime-valid: the likelihood of the signs with a chance of
        the head spread evenly over (1/2, 1), beside that of a fair coin, exceeds 1 / LEVEL with a
        probability of at most LEVEL, at any look (Ville's inequality).
        """
        if self.only_head <= self.only_memory:
            return False
        head = self.only_head + 1
        memory = self.only_memory + 1
        spread = betaln(head, memory) + np.log(2 * betainc(memory, head, 0.5))
        fair = (self.only_head + self.only_memory) * np.log(0.5)
        return bool(spread - fair >= -np.log(LEVEL))


def forecast_labels(labels: pd.DataFrame, *, since: pd.Timestamp) -> Forecast:
    """Predict the labels that people sent after `since` from the phrase's earlier ones.

    Of each phrase, the newest MOST_PER_PHRASE are predicted.

    Parameters
    ----------
    labels : LABEL_COLUMNS, and `head_label` where the label may judge ("" or missing for rows of
        the source and labels given because an answer was wrong, which are only known)

    Acts are counted as the memory counts them: a label that one author repeats on the same day is
    predicted once. The head's probability of its own label counts as HEAD_PROBABILITY.
    """
    ordered = count_acts(labels)
    ordered["relabelled"] = _known_as_relabelled(ordered)
    asked = ordered["head_label"].fillna("").ne("") & (ordered["received_at"] > since)
    phrases = set(ordered.loc[asked, "cleaned"])
    outcomes: list[tuple[bool, bool]] = []
    for _, rows in ordered[ordered["cleaned"].isin(phrases)].groupby("cleaned", sort=False):
        outcomes += _outcomes(rows, asked.loc[rows.index].tolist())
    return Forecast(
        labels=len(outcomes),
        memory_right=sum(memory for memory, _ in outcomes),
        head_right=sum(head for _, head in outcomes),
        only_memory=sum(memory and not head for memory, head in outcomes),
        only_head=sum(head and not memory for memory, head in outcomes),
    )


def _known_as_relabelled(ordered: pd.DataFrame) -> np.ndarray:
    """Mark the labels that were known as part of a relabelling when they came: bool (n,)."""
    phrase_of, _ = pd.factorize(ordered["cleaned"])
    codes, _ = pd.factorize(ordered["label"])
    received = moments(ordered)
    decided = ordered["kind"].isin(DECIDING).to_numpy()
    order = np.argsort(phrase_of, kind="stable")
    known = np.zeros(len(ordered), bool)
    since = relabelled_since(phrase_of[order], codes[order], received[order], decided[order])
    known[order] = since <= received[order]
    return known


def _outcomes(rows: pd.DataFrame, asked: list[bool]) -> list[tuple[bool, bool]]:
    """Whether memory and head were right about each label of one phrase that was asked for."""
    heads = rows["head_label"].fillna("").tolist()
    truth = rows["label"].tolist()
    names = sorted({*truth, *heads} - {""})
    code_of = {name: code for code, name in enumerate(names)}
    codes = [code_of[label] for label in truth]
    deciding = rows["kind"].isin(DECIDING).tolist()
    relabelled = rows["relabelled"].tolist()

    outcomes = []
    runs = no_run(len(names))
    weighed = 0
    for place in np.flatnonzero(asked)[-MOST_PER_PHRASE:].tolist():
        known = repeat_deciding(codes[:place], deciding[:place], relabelled[:place])
        runs = extend_runs(runs, known[weighed:])
        weighed = len(known)
        answer = _answer(mix_runs(runs), code_of[heads[place]])
        outcomes.append((answer == codes[place], heads[place] == truth[place]))
    return outcomes


def _answer(evidence: Evidence, head: int) -> int:
    shares = evidence.weights.copy()
    shares[head] += evidence.head_share * HEAD_PROBABILITY
    return int(np.argmax(shares))
