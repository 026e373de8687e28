"""Phrases that a broken client damaged: in a wrong encoding, or cut short. Pure.

Only damage that the past does not show among its new phrases counts: some desks cut words as a
habit.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import pandas as pd
from scipy.stats import binom

LEAST_CUT = 4
"""Characters: a shorter beginning is an abbreviation."""
LEAST_DAMAGED = 10
LEAST_SHARE = 0.005
"""Of the rows of a window; a client that sends less is not worth a name."""
UNUSUAL = 1e-5
"""The chance of so many damaged rows among the new ones, by those of the past: of all damaged rows
of both, the window's are binomial (Przyborowski and Wilenski's test of two Poisson means)."""
LEAST_NEW = 100
"""New phrases of the past; one with fewer counts as a hundred, so that a past that only repeats
itself still says that cut phrases are unusual."""


def _reading(encoding: str) -> str:
    """Return the continuation bytes of UTF-8 as a one-byte encoding reads them."""
    return bytes(range(0x80, 0xC0)).decode(encoding, errors="ignore")


_CONTINUATION = "".join(
    re.escape(character) for character in sorted({*_reading("latin-1"), *_reading("cp1252")})
)
_MOJIBAKE = re.compile(
    f"\ufffd|[\u00c2\u00c3\u00ce\u00cf\u00d0\u00d1][{_CONTINUATION}]|\u00e2[{_CONTINUATION}]{{2}}"
)


def is_mojibake(phrase: str) -> bool:
    """Return True for UTF-8 that was read as Latin-1 or cp1252, or lost to U+FFFD.

    The leading bytes are those of western European letters, Greek, Cyrillic and punctuation.
    """
    return not phrase.isascii() and _MOJIBAKE.search(phrase) is not None


@dataclass(frozen=True)
class Damage:
    """What is damaged in a window beyond the past.

    `rows` bool (n,) marks the damaged rows of the window; `share` is their share of the window;
    `sentence` names the client, "" when the damage is as usual.
    """

    rows: np.ndarray
    share: float
    sentence: str

    @property
    def named(self) -> bool:
        return bool(self.sentence)


def find_damage(window: pd.DataFrame, baseline: pd.DataFrame) -> Damage:
    """Compare the damaged rows of a window (`cleaned`, `mojibake`, `region`) with the past's."""
    known = sorted(set(baseline["cleaned"]))
    mojibake = window["mojibake"].to_numpy(dtype=bool)
    new = ~window["cleaned"].isin(known).to_numpy(dtype=bool)
    cut = _among(window["cleaned"], cut_phrases(window.loc[new, "cleaned"], known)) & ~mojibake
    damaged = (mojibake | cut) & new
    share = float(damaged.mean()) if len(damaged) else 0.0

    cuts, singles = _usual_cuts(baseline, known)
    share_new = new.sum() / (new.sum() + max(singles, LEAST_NEW))
    chance = binom.sf(damaged.sum() - 1, damaged.sum() + ceil(cuts), share_new)
    enough = damaged.sum() >= LEAST_DAMAGED and share >= LEAST_SHARE
    if not (enough and chance < UNUSUAL):
        return Damage(damaged, share, "")
    kinds = {
        "in a wrong encoding": int((damaged & mojibake).sum()),
        "cut short": int((damaged & cut).sum()),
    }
    return Damage(damaged, share, _sentence(window, damaged, kinds))


def cut_phrases(phrases: Collection[str], known: Sequence[str]) -> set[str]:
    """Return the phrases that end inside a word of a longer known one; `known` is in order."""
    return {phrase for phrase in set(phrases) if _ends_inside_a_word(phrase, known)}


def _ends_inside_a_word(phrase: str, known: Sequence[str]) -> bool:
    if len(phrase) < LEAST_CUT or not phrase[-1].isalnum():
        return False
    for longer in known[bisect_right(known, phrase) :]:
        if not longer.startswith(phrase):
            return False
        if longer[len(phrase)].isalnum():
            return True
    return False


def _usual_cuts(baseline: pd.DataFrame, known: Sequence[str]) -> tuple[float, float]:
    """Return the weight of the past phrases that came once and look cut, and of all that came once.

    Such phrases were new on their day. A season brings many, so that its cuts are compared with
    those of as many new ones.
    """
    weight = baseline["weight"].to_numpy(dtype=float)
    once = ~baseline["cleaned"].duplicated(keep=False).to_numpy()
    cut = _among(baseline["cleaned"], cut_phrases(baseline.loc[once, "cleaned"], known))
    return float(weight[once & cut].sum()), float(weight[once].sum())


def _among(cleaned: pd.Series, phrases: set[str]) -> np.ndarray:
    return np.asarray(cleaned.isin(phrases), dtype=bool)


def _sentence(window: pd.DataFrame, damaged: np.ndarray, kinds: dict[str, int]) -> str:
    counts = " and ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
    return (
        f"a client sends damaged phrases: {counts}, of {len(window)}"
        f"{sender_of(window[damaged])}, such as {_example(window.loc[damaged, 'cleaned'])!r}"
    )


def sender_of(rows: pd.DataFrame) -> str:
    """Return where most of the rows come from, as a clause; "" when they name no region."""
    regions = rows["region"].dropna()
    if regions.empty:
        return ""
    counts = regions.value_counts()
    return f", {counts.iloc[0]} of them from region {counts.index[0]}"


def _example(phrases: pd.Series) -> str:
    return str(phrases.value_counts().index[0])[:60]
