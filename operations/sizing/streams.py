"""What a load test says and when: phrases drawn as they come in reality, a share of them new, at moments fixed beforehand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from pipelines.model.text import clean_phrase

PEAK_SHARE = 0.2
LEAST_COUNT = 5  # phrases said less often tell little about s: their ranks are mostly luck
LARGEST_S = 4.0


def fit_zipf(counts: Sequence[int]) -> float:
    """Return the s of P(rank) ~ rank^-s that makes the counts most likely, from 0 (all phrases alike) to 4.

    Fitted on the ranks said at least LEAST_COUNT times, when there are ten: the tail's order is an order of luck, and how many
    phrases were never said does not matter then.
    """
    from scipy.optimize import minimize_scalar

    ordered = np.sort(np.asarray(counts, float))[::-1]
    head = ordered[ordered >= LEAST_COUNT]
    kept = head if len(head) >= 10 else ordered
    logs = np.log(np.arange(1, len(kept) + 1))
    weighted = float(kept @ logs)

    def unlikelihood(s: float) -> float:
        return s * weighted + float(kept.sum()) * float(np.log(np.exp(-s * logs).sum()))

    return float(minimize_scalar(unlikelihood, bounds=(0.0, LARGEST_S), method="bounded").x)


def zipf_shares(phrases: int, *, s: float) -> np.ndarray:
    """Probability of each rank, the most frequent first."""
    weights = np.arange(1, phrases + 1, dtype=float) ** -s
    return weights / weights.sum()


def draw_phrases(
    said: Sequence[str], *, rows: int, new: float, seed: int, mark: str = "", zipf: bool = False
) -> tuple[list[str], float | None]:
    """Draw `rows` phrases, and return with them the s they were drawn by.

    Parameters
    ----------
    said : phrases in the frequency in which they came, in any order
    new : share of phrases that nobody said before, from 0 to 1: a known one with `mark` and a number
    zipf : by rank from the fitted law, not by the frequencies themselves (s is None then)
    """
    random = np.random.default_rng(seed)
    counts = Counter(said)
    ranked = [phrase for phrase, _ in counts.most_common()]
    s = fit_zipf(list(counts.values())) if zipf else None
    shares = (
        zipf_shares(len(ranked), s=s)
        if s is not None
        else np.array([counts[one] for one in ranked]) / len(said)
    )
    places = random.choice(len(ranked), size=rows, p=shares)
    fresh = random.random(rows) < new
    return [
        f"{ranked[place]} {mark}-{row}" if fresh[row] else ranked[place]
        for row, place in enumerate(places.tolist())
    ], s


def arrivals(*, rate: float, peak: float, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Return when each request is due, in seconds from the start, and whether it belongs to the peak.

    Constant rates: `rate` a second, and `peak` a second in the middle fifth of the time.
    """
    begin, end = seconds * (1 - PEAK_SHARE) / 2, seconds * (1 + PEAK_SHARE) / 2
    spans = [(0.0, begin, rate, False), (begin, end, peak, True), (end, seconds, rate, False)]
    due = [np.arange(start, stop - 1e-9, 1 / wanted) for start, stop, wanted, _ in spans]
    high = [
        np.full(len(moments), busy) for moments, (_, _, _, busy) in zip(due, spans, strict=True)
    ]
    return np.concatenate(due), np.concatenate(high)


def said_before(phrases: Sequence[str]) -> np.ndarray:
    """For each phrase in order: was one with the same cleaned text before it? (False: cold, True: warm.)"""
    seen: set[str] = set()
    known = []
    for phrase in phrases:
        cleaned = clean_phrase(phrase)
        known.append(cleaned in seen)
        seen.add(cleaned)
    return np.array(known, bool)
