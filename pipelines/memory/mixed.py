"""Corrections of phrases that truly have several labels: they say nothing new. Pure.

People correct answers that are wrong. Where a phrase has two labels, 60 to 40, every correction is
of the label that was not answered: taken as evidence, they turn the answer to the rarer one.
"""

from __future__ import annotations

from itertools import groupby

NEWEST = 20
"""Labels of a phrase that are looked at."""
RETURNS = 2
"""A label that came, went and came back is a habit of the phrase; one that came once to stay is a
new rule."""
LEAST_SHARE = 0.15
"""Of these labels: two slips are no habit."""


def habitual_labels(labels: list[str]) -> set[str]:
    """Return the labels that keep coming back.

    `labels` are those of one phrase that were not given because an answer was wrong, in order.
    """
    newest = labels[-NEWEST:]
    runs = [label for label, _ in groupby(newest)]
    least = LEAST_SHARE * len(newest)
    return {
        label for label in runs if runs.count(label) >= RETURNS and newest.count(label) >= least
    }
