"""How often a phrase will be asked, from how often it was: pure.

Past counts overestimate future counts: most phrases that came once do not come again. Absolute
discounting takes the same part off every count (H. Ney, U. Essen, R. Kneser, 1994, "On structuring
probabilistic dependences in stochastic language modelling"); its size follows from how many
phrases came once and twice (I. J. Good, 1953). So 500 answers of one phrase promise more than one
answer of each of 500 phrases.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from monitoring.review.recent_log import RecentLog

PHRASE_COLUMNS = ("cleaned", "request_id", "version", "label", "doubt", "asks")


def discount(counts: np.ndarray) -> float:
    """Return what every count loses, in (0, 1); 1/2 when no phrase came once or twice."""
    once = int((counts == 1).sum())
    twice = int((counts == 2).sum())
    return (once + 1) / (once + 2 * twice + 2)


def asked_phrases(recent: RecentLog) -> pd.DataFrame:
    """Return PHRASE_COLUMNS, one row per phrase in order of the phrases.

    `request_id`, `version` and `label` are those of its newest answer, `doubt` one minus the
    probability of that answer, and `asks` how often it will be asked in as long a time.
    """
    groups = recent.rows.groupby("cleaned", sort=True)
    phrases = groups.last()
    counts = groups.size().to_numpy()
    asks = (counts - discount(counts)) * recent.scale
    phrases = phrases.assign(doubt=1 - phrases["probability"].astype(float), asks=asks)
    return phrases.reset_index()[list(PHRASE_COLUMNS)]
