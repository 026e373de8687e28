"""Decides whether a memory improves the answers: predicts labels by what was known before each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import betainc, betaln

from pipelines.memory.build import DECIDING, acts_of_deciding, count_acts, moments
from pipelines.memory.evidence import (
    Evidence,
    extend_runs,
    mix_runs,
    no_run,
    repeat_deciding,
)
from pipelines.memory.relabelled import NEVER, NOBODY, find_changes, shared_changes

LEVEL = 0.05
"""Chance that a memory no worse than the head alone is switched off, however often it is judged."""
MOST_PER_PHRASE = 20
"""Newest labels of one phrase that are predicted: a test by signs takes labels as independent.

A phrase that is labelled ten thousand times decides no more than one labelled 20 times.
"""
_DAY = 86_400_000_000
"""Microseconds."""
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
    relabellings = _KnownRelabellings(ordered)
    is_predicted = ordered["head_label"].fillna("").ne("") & (ordered["received_at"] > since)
    phrases = set(ordered.loc[is_predicted, "cleaned"])
    outcomes: list[tuple[bool, bool]] = []
    for _, rows in ordered[ordered["cleaned"].isin(phrases)].groupby("cleaned", sort=False):
        outcomes += _outcomes(rows, is_predicted.loc[rows.index].tolist(), relabellings)
    return Forecast(
        labels=len(outcomes),
        memory_right=sum(memory for memory, _ in outcomes),
        head_right=sum(head for _, head in outcomes),
        only_memory=sum(memory and not head for memory, head in outcomes),
        only_head=sum(head and not memory for memory, head in outcomes),
    )


class _KnownRelabellings:
    """Which labels were known to be part of a relabelling before a day began."""

    def __init__(self, ordered: pd.DataFrame) -> None:
        phrase_of, _ = pd.factorize(ordered["cleaned"])
        codes, _ = pd.factorize(ordered["label"])
        self._received = moments(ordered)
        self._codes = codes
        acts = acts_of_deciding(ordered)
        order = np.argsort(phrase_of, kind="stable")
        places, self._changes = find_changes(
            phrase_of[order], codes[order], self._received[order], acts[order]
        )
        self._rows = order[places]
        self._decided_at = np.sort(self._received[acts != NOBODY])
        self._by_day: dict[int, frozenset[int]] = {}

    def before_day_of(self, row: int) -> frozenset[int]:
        """Return the rows that were known as relabelled when the day of a row began."""
        day = int(self._received[row] // _DAY)
        if day not in self._by_day:
            self._by_day[day] = self._before(day * _DAY)
        return self._by_day[day]

    def _before(self, moment: int) -> frozenset[int]:
        earlier = self._changes.at < moment
        changes = self._changes.only(earlier)
        returned_at = np.where(changes.returned_at < moment, changes.returned_at, NEVER)
        known = self._codes[: np.searchsorted(self._received, moment)]
        if not len(known):
            return frozenset()
        shared = shared_changes(
            replace(changes, returned_at=returned_at),
            decided_at=self._decided_at[: np.searchsorted(self._decided_at, moment)],
            shares=np.bincount(known, minlength=int(self._codes.max()) + 1) / len(known),
        )
        return frozenset(self._rows[earlier][shared].tolist())


def _outcomes(
    rows: pd.DataFrame, is_predicted: list[bool], relabellings: _KnownRelabellings
) -> list[tuple[bool, bool]]:
    """Whether memory and head were right about each label of one phrase that was asked for."""
    heads = rows["head_label"].fillna("").tolist()
    truth = rows["label"].tolist()
    names = sorted({*truth, *heads} - {""})
    code_of = {name: code for code, name in enumerate(names)}
    codes = [code_of[label] for label in truth]
    deciding = rows["kind"].isin(DECIDING).tolist()
    numbers = rows.index.tolist()

    outcomes = []
    runs = no_run(len(names))
    weighed: list[int] = []
    for place in np.flatnonzero(is_predicted)[-MOST_PER_PHRASE:].tolist():
        relabelled = relabellings.before_day_of(numbers[place])
        marks = [row in relabelled for row in numbers[:place]]
        known = repeat_deciding(codes[:place], deciding[:place], marks)
        if known[: len(weighed)] != weighed:  # a relabelling was found, or taken back
            runs = no_run(len(names))
            weighed = []
        runs = extend_runs(runs, known[len(weighed) :])
        weighed = known
        answer = _answer(mix_runs(runs), code_of[heads[place]])
        outcomes.append((answer == codes[place], heads[place] == truth[place]))
    return outcomes


def _answer(evidence: Evidence, head: int) -> int:
    shares = evidence.weights.copy()
    shares[head] += evidence.head_share * HEAD_PROBABILITY
    return int(np.argmax(shares))
