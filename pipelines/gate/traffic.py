"""Test rows weighted to look like the recent traffic: post-stratified by frequency and freshness
of their phrases.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST_PHRASES = 10
"""A stratum with fewer test phrases joins the one below: the weight of one phrase would be that
of many.
"""
STANDS_FOR = 2.0
"""A test phrase stands for phrases up to so many times its frequency."""


@dataclass(frozen=True)
class Strata:
    """`weights` float (n,) of the recent rows, 0 outside the test rows, mean 1 on them;
    `uncovered`: share of rows without a test phrase.
    """

    weights: np.ndarray
    uncovered: float


def post_stratify(phrases: np.ndarray, fresh: np.ndarray, test: np.ndarray) -> Strata:
    """Weigh the test rows of the recent traffic.

    Parameters
    ----------
    phrases : int (n,)
        Codes of the cleaned phrases of all recent rows.
    fresh : bool (n,)
        The phrase was not seen before the recent rows.
    test : bool (n,)
        The test rows: all recent rows of some phrases.
    """
    if not test.any():
        return Strata(np.zeros(len(phrases)), 1.0)

    codes, counts = np.unique(phrases, return_inverse=True, return_counts=True)[1:]
    frequency = counts[codes]
    stratum = _strata(frequency, codes, fresh, test)
    strata = int(stratum.max()) + 1

    traffic = np.bincount(stratum, minlength=strata).astype(float)
    tested = np.bincount(stratum[test], minlength=strata).astype(float)
    factor = np.divide(traffic, tested, out=np.zeros(strata), where=tested > 0)
    weights = np.where(test, factor[stratum], 0.0)

    most = np.array([frequency[test & (fresh == kind)].max(initial=0) for kind in (False, True)])
    uncovered = (tested[stratum] == 0) | (frequency > STANDS_FOR * most[fresh.astype(int)])
    return Strata(weights / weights[test].mean(), float(uncovered.mean()))


def _strata(
    frequency: np.ndarray, codes: np.ndarray, fresh: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """int (n,): two per power of two of the frequency, for known and fresh phrases; sparse ones
    joined downwards.
    """
    power = np.log2(frequency).astype(int)
    for kind in (False, True):
        own = fresh == kind
        for level in range(int(power.max(initial=0)), 0, -1):
            here = own & (power == level)
            if here.any() and len(np.unique(codes[here & test])) < LEAST_PHRASES:
                power[here] = level - 1
    return np.asarray(2 * power + fresh)
