"""Corrections of phrases that truly have several labels: they say nothing new. Pure.

People correct answers that are wrong. Where a phrase has two labels, 60 to 40, every correction is
of the label that was not answered: taken as evidence, they turn the answer to the rarer one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

NEWEST = 100
"""Labels of a phrase that are looked at. Of a label with a fifth of them, 20 miss the habit in one
draw of five, 100 in one of four hundred."""
RETURNS = 2
"""A label that came, went and came back is a habit of the phrase; one that came once to stay is a
new rule."""
LEAST_SHARE = 0.1
"""Of these labels."""
SLIPS = 2
"""As often as that, a label comes among more than FEW others by mistake."""
FEW = 13


def habitual_labels(labels: list[str]) -> set[str]:
    """Return the labels that keep coming back.

    `labels` are those of one phrase that were not given because an answer was wrong, in order.
    """
    newest = labels[-NEWEST:]
    runs = Counter(label for label, _ in groupby(newest))
    counts = Counter(newest)
    least = max(LEAST_SHARE * len(newest), SLIPS + 1 if len(newest) > FEW else 0)
    return {label for label, times in runs.items() if times >= RETURNS and counts[label] >= least}


def expected_corrections(labels: Sequence[str], corrections: Sequence[bool]) -> list[bool]:
    """Mark the corrections that say nothing new: from one habitual label to another.

    Parameters
    ----------
    labels : those of one phrase, in order of receipt
    corrections : whether each was given because an answer was wrong

    A correction behind a label that is not habitual takes that one back, and counts.
    """
    pairs = list(zip(labels, corrections, strict=True))
    habits = habitual_labels([label for label, is_correction in pairs if not is_correction])
    newest = None
    marks = []
    for label, is_correction in pairs:
        took_back = newest is not None and newest not in habits
        expected = is_correction and label in habits and not took_back
        marks.append(expected)
        if not expected:
            newest = label
    return marks
