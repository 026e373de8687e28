"""Draws the phrases of a load test and the moments at which they are sent.

Phrases are drawn from real requests, with a share of new ones. The moments are fixed beforehand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from pipelines.model.text import clean_phrase

PEAK_SHARE = 0.2
LEAST_COUNT = 5  # the ranks of rarer phrases are mostly chance and say little about s
LARGEST_S = 4.0


def fit_zipf(counts: Sequence[int]) -> float:
    """Return the s of P(rank) ~ rank^-s that makes the counts most likely, from 0 (uniform) to 4.

    Uses only ranks with at least LEAST_COUNT requests, when there are ten of them. The order of the
    tail is chance, and without it the number of phrases never requested does not matter.
    """
    from scipy.optimize import minimize_scalar

    ordered = np.sort(np.asarray(counts, float))[::-1]
    head = ordered[ordered >= LEAST_COUNT]
    fitted = head if len(head) >= 10 else ordered
    logs = np.log(np.arange(1, len(fitted) + 1))
    weighted = float(fitted @ logs)

    def unlikelihood(s: float) -> float:
        return s * weighted + float(fitted.sum()) * float(np.log(np.exp(-s * logs).sum()))

    return float(minimize_scalar(unlikelihood, bounds=(0.0, LARGEST_S), method="bounded").x)


def zipf_shares(phrases: int, *, s: float) -> np.ndarray:
    """Probability of each rank, the most frequent first."""
    weights = np.arange(1, phrases + 1, dtype=float) ** -s
    shares: np.ndarray = weights / weights.sum()
    return shares


def draw_phrases(
    phrases: Sequence[str], *, rows: int, new: float, seed: int, mark: str = "", zipf: bool = False
) -> tuple[list[str], float | None]:
    """Draw `rows` phrases; return them with the s they were drawn by.

    Parameters
    ----------
    phrases : requested phrases with their repetitions, in any order
    new : share of new phrases, from 0 to 1; a new phrase is a known one with `mark` and a number
    zipf : draw from the fitted law of the ranks (s is None without it, and frequencies are used)
    """
    random = np.random.default_rng(seed)
    counts = Counter(phrases)
    ranked = [phrase for phrase, _ in counts.most_common()]
    if zipf:
        s = fit_zipf(list(counts.values()))
        shares = zipf_shares(len(ranked), s=s)
    else:
        s = None
        shares = np.array([counts[phrase] for phrase in ranked]) / len(phrases)

    places = random.choice(len(ranked), size=rows, p=shares)
    fresh = random.random(rows) < new
    drawn = [
        f"{ranked[place]} {mark}-{row}" if fresh[row] else ranked[place]
        for row, place in enumerate(places.tolist())
    ]
    return drawn, s


def arrivals(*, rate: float, peak: float, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Return when each request is due (seconds from the start) and whether it belongs to the peak.

    The rates are constant: `rate`, and `peak` in the middle fifth of the time (per second).
    """
    begin = seconds * (1 - PEAK_SHARE) / 2
    end = seconds * (1 + PEAK_SHARE) / 2
    before = np.arange(0.0, begin - 1e-9, 1 / rate)
    during = np.arange(begin, end - 1e-9, 1 / peak)
    after = np.arange(end, seconds - 1e-9, 1 / rate)
    busy = np.repeat([False, True, False], [len(before), len(during), len(after)])
    return np.concatenate([before, during, after]), busy


def seen_before(phrases: Sequence[str]) -> np.ndarray:
    """Whether an earlier phrase has the same cleaned text: False is cold, True is warm."""
    seen: set[str] = set()
    repeated = []
    for phrase in phrases:
        cleaned = clean_phrase(phrase)
        repeated.append(cleaned in seen)
        seen.add(cleaned)
    return np.array(repeated, bool)
