"""Does the memory earn its place? Every label is foretold by what was known before it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from pipelines.memory.evidence import weigh_labels

LEVEL = 0.05
"""Chance that a memory no worse than the head alone is switched off (one-sided sign test)."""


@dataclass(frozen=True)
class Foretold:
    """Labels that memory and head foretold; of those where only one was right, whose."""

    labels: int
    memory_right: int
    head_right: int
    only_memory: int
    only_head: int

    @property
    def loses(self) -> bool:
        """True when the head alone foretells better, by a sign test where they differ."""
        differing = self.only_memory + self.only_head
        if self.only_head <= self.only_memory:
            return False
        test = binomtest(self.only_head, differing, 0.5, alternative="greater")
        return bool(test.pvalue <= LEVEL)


def foretell(labels: pd.DataFrame, *, since: pd.Timestamp) -> Foretold:
    """Foretell every label that people sent after `since` from the phrase's earlier ones.

    Parameters
    ----------
    labels : cleaned, label, received_at, author, and `head_label` where the label came for an
        answer ("" or missing for rows of the source, which are only known, never foretold)

    The head's probability of its own label counts as 1, which favours the head.
    """
    ordered = labels.sort_values("received_at", kind="stable")
    asked = ordered["head_label"].fillna("").ne("") & (ordered["received_at"] > since)
    phrases = set(ordered.loc[asked, "cleaned"])
    outcomes: list[tuple[bool, bool]] = []
    for _, rows in ordered[ordered["cleaned"].isin(phrases)].groupby("cleaned", sort=False):
        outcomes += _outcomes(rows, asked.loc[rows.index].tolist())
    return Foretold(
        labels=len(outcomes),
        memory_right=sum(memory for memory, _ in outcomes),
        head_right=sum(head for _, head in outcomes),
        only_memory=sum(memory and not head for memory, head in outcomes),
        only_head=sum(head and not memory for memory, head in outcomes),
    )


def _outcomes(rows: pd.DataFrame, asked: list[bool]) -> list[tuple[bool, bool]]:
    """Whether memory and head were right about each label of one phrase that was asked for."""
    heads = rows["head_label"].fillna("").tolist()
    truth = rows["label"].tolist()
    names = sorted({*truth, *heads} - {""})
    code_of = {name: code for code, name in enumerate(names)}
    codes = [code_of[label] for label in truth]
    outcomes = []
    for place, wanted in enumerate(asked):
        if wanted:
            evidence = weigh_labels(codes[:place], labels=max(len(names), 2))
            shares = evidence.weights.copy()
            shares[code_of[heads[place]]] += evidence.head_share
            outcomes.append((int(np.argmax(shares)) == codes[place], heads[place] == truth[place]))
    return outcomes
