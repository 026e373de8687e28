"""What chance alone would give: the answers of two equal versions could be swapped on every
phrase.
"""

from __future__ import annotations

import numpy as np

DRAWS = 4096
EXACT_PHRASES = 12
"""2^12 = DRAWS: up to here all sign patterns are tried."""
SAME = 1e-9
"""Sums closer than this share of their scale are equal."""


def flip_signs(phrases: int, *, seed: int) -> np.ndarray:
    """float (draws, phrases) of 1 and -1, the first row all 1: every pattern where few phrases
    differ, else random ones.
    """
    if phrases <= EXACT_PHRASES:
        patterns = np.arange(2**phrases)[:, None] >> np.arange(phrases)[None, :]
        return 1.0 - 2.0 * (patterns & 1)
    signs = np.random.default_rng(seed).integers(0, 2, size=(DRAWS, phrases)) * 2.0 - 1.0
    signs[0] = 1.0
    return signs


def harm_p_values(differences: np.ndarray, signs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How often chance gives sums as low as these.

    Parameters
    ----------
    differences : float (phrases, hypotheses)
        What each discordant phrase adds to each sum.
    signs : float (draws, phrases)
        From `flip_signs`.

    Returns
    -------
    float (hypotheses,) twice: the p-value of each alone, and adjusted for all of them. A random
    test is exact when swapping
    the two versions on a phrase is as likely as not (Fisher 1935). The adjusted one is the minimum
    of p-values over the same
    patterns (Westfall and Young 1993): hypotheses that too few phrases decide cost the others
    nothing (Tarone 1990). With
    level .05 the adjusted ones name any false harm in at most 5 % of equal candidates.
    """
    if not differences.size:
        none = np.ones(differences.shape[1])
        return none, none
    sums = signs @ differences
    sums = np.round(sums / max(float(np.abs(differences).sum(axis=0).max()), 1e-300), 9)
    p_values = np.empty_like(sums)
    for column in range(sums.shape[1]):
        ordered = np.sort(sums[:, column])
        p_values[:, column] = np.searchsorted(ordered, sums[:, column], side="right") / len(sums)
    smallest = np.sort(p_values.min(axis=1))
    adjusted = np.searchsorted(smallest, p_values[0] + SAME, side="right") / len(sums)
    return p_values[0], adjusted


def gain_p_value(differences: np.ndarray, *, seed: int) -> float:
    """How often chance gives a sum as high as that of these discordant phrases. Exact under
    swapping (Fisher 1935).
    """
    discordant = differences[differences != 0]
    if not len(discordant):
        return 1.0
    signs = flip_signs(len(discordant), seed=seed)
    return float(harm_p_values(-discordant[:, None], signs)[0][0])


def probability(p: float) -> str:
    """Return such as "probability 0.012"; a small one is not rounded to nothing."""
    return "probability below 0.001" if p < 0.001 else f"probability {p:.3f}"
