"""Which labels are probably wrong: pure.

A head that has not seen a phrase, and the other rows of the same phrase, say together how likely
the given label is. This is the ranking of confident learning (C. G. Northcutt, L. Jiang and
I. L. Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70, 2021), with
the evidence of repeated phrases, which that method does not know, and with a cut by odds: its own
cut names three times too many labels where a fiftieth is wrong (`python -m benchmarks.suspects`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.labels.out_of_fold import OutOfFold, Phrases
from pipelines.model.arrays import Bool, Float32, Float64, Int64
from pipelines.model.training import TrainingRows

HEAD_ROWS = 1.0
"""How many rows of a phrase the head's answer is worth, as in `pipelines/memory/evidence.py`."""
LEAST_ODDS = 150.0
"""Another label must be so many times likelier than the given one.

On 64 intents with a fiftieth of uniform or confusable wrong labels, 100 keeps 57 % or more of the
named ones right and finds 84 %, 200 keeps 65 % and finds 79 %.
"""
_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class Judged:
    """The distinct (phrase, given label) pairs that can be judged.

    Attributes
    ----------
    places : int (p,), of the pairs among the training rows
    phrases : int (p,), of their phrases among those that are judged
    given, proposed : int (p,), places of labels; the proposed one is the likeliest other label
    given_share, proposed_share : float64 (p,), how likely each is for one row of the phrase
    teaches : bool (p,), whether heads learn this label of the phrase
    """

    places: Int64
    phrases: Int64
    given: Int64
    proposed: Int64
    given_share: Float64
    proposed_share: Float64
    teaches: Bool

    @property
    def odds(self) -> Float64:
        """How many times likelier the proposed label is: float64 (p,)."""
        odds: Float64 = self.proposed_share / np.maximum(self.given_share, 1e-9)
        return odds


def judge_pairs(rows: TrainingRows, phrases: Phrases, answers: OutOfFold) -> Judged:
    """Judge every pair of the rows whose phrase has an out-of-fold answer.

    One row of the pair is judged by all others of its phrase, each as a vote, and by the head. A
    label that no other fold teaches cannot be answered: the head then says nothing against it.
    """
    everything = rows.with_test()
    phrase = _places_of(everything.cleaned, phrases.cleaned)
    places = np.flatnonzero(phrase >= 0)
    phrase = phrase[places]
    given = np.searchsorted(phrases.labels, everything.labels[places])
    counts = everything.weights[places]
    votes = HEAD_ROWS * answers.probabilities
    np.add.at(votes, (phrase, given), counts.astype(np.float32))

    learnt = phrases.learnt(phrases.codes, labels=len(phrases.labels))
    unknown = ~learnt[phrases.folds[phrase], given]
    own, proposed, other = _compare(votes, phrase, given)
    own = own - 1 + np.where(unknown, answers.probabilities[phrase].max(axis=1), 0)
    total = HEAD_ROWS + phrases.rows[phrase] - 1
    return Judged(
        places=places,
        phrases=phrase,
        given=given,
        proposed=proposed,
        given_share=np.maximum(own, 0) / total,
        proposed_share=other / total,
        teaches=phrases.codes[phrase] == given,
    )


def suspicious(judged: Judged) -> Int64:
    """Return the pairs that are suspected, the least likely label first: int (s,)."""
    odds = judged.odds
    suspected = np.flatnonzero(odds >= LEAST_ODDS)
    ranked: Int64 = suspected[np.lexsort((suspected, -odds[suspected]))]
    return ranked


def _places_of(cleaned: np.ndarray, known: np.ndarray) -> Int64:
    """Return the place of each phrase among the `known`, sorted ones; -1 for none."""
    order = np.argsort(known)
    places = np.minimum(np.searchsorted(known, cleaned, sorter=order), len(known) - 1)
    known_places: Int64 = np.where(known[order[places]] == cleaned, order[places], -1)
    return known_places


def _compare(votes: Float32, phrase: Int64, given: Int64) -> tuple[Float64, Int64, Float64]:
    """Return the votes for the given label, the likeliest other label, and the votes for it."""
    own = np.zeros(len(phrase))
    proposed = np.zeros(len(phrase), np.int64)
    other = np.zeros(len(phrase))
    for start in range(0, len(phrase), _CHUNK):
        part = slice(start, start + _CHUNK)
        chosen = votes[phrase[part]]
        number = np.arange(len(chosen))
        own[part] = chosen[number, given[part]]
        chosen[number, given[part]] = -1
        proposed[part] = chosen.argmax(axis=1)
        other[part] = chosen[number, proposed[part]]
    return own, proposed, other
