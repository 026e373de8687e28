"""Which label a phrase has now: rules change, and a head must not learn the old one."""

from __future__ import annotations

import numpy as np

from pipelines.memory.evidence import weigh_labels
from pipelines.model.arrays import AnyArray, Bool, Int64

NEWEST = 200
"""Rows of a phrase that are weighed: of 200, a label of 60 % is the rarer one in 0.2 % of cases."""


def single_acts(pair_of_row: Int64, occurred_at: AnyArray, *, from_source: Bool) -> Bool:
    """Mark the rows of the source, and one feedback per pair and day: bool (n,).

    One act of a person may fix many answers; it is not a lasting rule.
    """
    days = occurred_at.astype("datetime64[D]").astype(np.int64)
    given = np.flatnonzero(~from_source)
    keys = np.stack([pair_of_row[given], days[given]], axis=1)
    _, first = np.unique(keys, axis=0, return_index=True)
    acts = from_source.copy()
    acts[given[first]] = True
    return acts


def present_pairs(pair_of_row: Int64, phrase_of_pair: Int64, acts: Bool, *, among: Bool) -> Bool:
    """Mark the pair of the present label of each phrase that has a row `among` the rows.

    The memory's evidence decides (see `weigh_labels`): a label that came to stay, or else the
    frequent one.

    Parameters
    ----------
    pair_of_row : (n,), in order of time
    phrase_of_pair : (pairs,), ascending
    acts : bool (n,), the rows that are weighed (see `single_acts`)
    among : bool (n,)

    Returns
    -------
    bool (pairs,)
    """
    rows = pair_of_row[among]
    present = np.bincount(rows, minlength=len(phrase_of_pair)) > 0
    labels = np.bincount(phrase_of_pair[present], minlength=int(phrase_of_pair.max(initial=-1)) + 1)
    contested = labels[phrase_of_pair] > 1

    rows = pair_of_row[among & acts]
    rows = rows[contested[rows]]
    order = np.argsort(phrase_of_pair[rows], kind="stable")
    ordered = rows[order]
    bounds = np.flatnonzero(np.diff(phrase_of_pair[ordered])) + 1

    for pairs in np.split(ordered, bounds) if len(ordered) else []:
        own, codes = np.unique(pairs, return_inverse=True)
        present[own] = False
        present[own[_present_label(codes[-NEWEST:], labels=len(own))]] = True
    return present


def _present_label(codes: Int64, *, labels: int) -> int:
    """Return the label that a phrase has now; `codes`, in [0, labels), are in order of time.

    No head exists yet. Its share goes to the labels as often as they came: without it, a run of one
    wrong label outweighed any long, agreeing past.
    """
    evidence = weigh_labels(codes.tolist(), labels=labels)
    frequency = np.bincount(codes, minlength=labels) / len(codes)
    return int((evidence.head_share * frequency + evidence.weights).argmax())
