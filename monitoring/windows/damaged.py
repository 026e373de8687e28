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
LEAST_SHARE = 0.001
"""So many damaged rows, or phrases, per row of a window; a client that sends less is not worth a
name."""
EXPLAINING_SHARE = 0.005
"""Fewer damaged rows move no statistic."""
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

_CLEANED_MOJIBAKE = re.compile(_MOJIBAKE.pattern, re.IGNORECASE)
"""The past keeps cleaned phrases only: of some letters nothing is left, most can be recognised."""


def is_mojibake(phrase: str) -> bool:
    """Return True for UTF-8 that was read as Latin-1 or cp1252, or lost to U+FFFD.

    The leading bytes are those of western European letters, Greek, Cyrillic and punctuation.
    """
    return not phrase.isascii() and _MOJIBAKE.search(phrase) is not None


@dataclass(frozen=True)
class Criterion:
    """When damage is more than usual: at least so many rows, and a smaller chance than `chance`.

    The chance is that of so many among the new rows, by those of the past: of all damaged rows of
    both, the window's are binomial (Przyborowski and Wilenski's test of two Poisson means).
    """

    rows: int
    chance: float


ANY_DAMAGE = Criterion(rows=10, chance=1e-5)
"""New words may look cut, and come in seasons."""
MOJIBAKE = Criterion(rows=3, chance=1 / 300)
"""For different phrases in a wrong encoding: no new word looks like it."""


@dataclass(frozen=True)
class Damage:
    """What is damaged in a window beyond the past.

    `rows` bool (n,) marks the damaged rows of the window; `sentence` names the client, "" when the
    damage is as usual.
    """

    rows: np.ndarray
    sentence: str

    @property
    def named(self) -> bool:
        return bool(self.sentence)

    @property
    def may_explain(self) -> bool:
        """Return whether a named client may be all that moved."""
        return self.named and bool(self.rows.mean() >= EXPLAINING_SHARE)


def find_damage(window: pd.DataFrame, baseline: pd.DataFrame) -> Damage:
    """Compare the damaged rows of a window (`cleaned`, `mojibake`, `region`) with the past's."""
    known = sorted(set(baseline["cleaned"]))
    new = ~window["cleaned"].isin(known).to_numpy(dtype=bool)
    mojibake = window["mojibake"].to_numpy(dtype=bool) & new
    cut = _among(window["cleaned"], cut_phrases(window.loc[new, "cleaned"], known)) & ~mojibake
    usual = _usual_damage(baseline, known)

    any_damage = mojibake | cut
    least = LEAST_SHARE * len(window)
    count = int(any_damage.sum())
    chance = usual.chance_of(count, past=usual.damaged, new=int(new.sum()))
    if count >= max(ANY_DAMAGE.rows, least) and chance < ANY_DAMAGE.chance:
        kinds = {"in a wrong encoding": mojibake, "cut short": cut}
        return Damage(any_damage, _sentence(window, any_damage, kinds))

    count = len(_mojibake_among(window.loc[mojibake, "cleaned"]))
    fresh = window.loc[new, "cleaned"].nunique()
    chance = usual.chance_of(count, past=usual.mojibake, new=fresh)
    if count >= max(MOJIBAKE.rows, least) and chance < MOJIBAKE.chance:
        return Damage(mojibake, _sentence(window, mojibake, {"in a wrong encoding": mojibake}))
    return Damage(any_damage, "")


@dataclass(frozen=True)
class _UsualDamage:
    """The past's phrases, by weight: those that came once, the damaged ones of these, and all that
    are in a wrong encoding.

    Phrases that came once were new on their day. A season brings many, so that its damage is
    compared with that of as many new phrases.
    """

    new: float
    damaged: float
    mojibake: float

    def chance_of(self, count: int, *, past: float, new: int) -> float:
        """Return the chance of `count` damaged phrases or more among `new` ones of a window."""
        share_new = new / (new + max(self.new, LEAST_NEW))
        return float(binom.sf(count - 1, count + ceil(past), share_new))


def _usual_damage(baseline: pd.DataFrame, known: Sequence[str]) -> _UsualDamage:
    cleaned = baseline["cleaned"]
    weight = baseline["weight"].to_numpy(dtype=float)
    once = ~cleaned.duplicated(keep=False).to_numpy()
    mojibake = _among(cleaned, _mojibake_among(cleaned))
    damaged = once & (mojibake | _among(cleaned, cut_phrases(cleaned[once], known)))
    different = ~cleaned.duplicated().to_numpy()
    return _UsualDamage(
        float(weight[once].sum()),
        float(weight[damaged].sum()),
        float(weight[different & mojibake].sum()),
    )


def _mojibake_among(cleaned: pd.Series) -> set[str]:
    return {phrase for phrase in set(cleaned) if _CLEANED_MOJIBAKE.search(phrase)}


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


def _among(cleaned: pd.Series, phrases: set[str]) -> np.ndarray:
    return np.asarray(cleaned.isin(phrases), dtype=bool)


def _sentence(window: pd.DataFrame, damaged: np.ndarray, kinds: dict[str, np.ndarray]) -> str:
    counts = " and ".join(f"{rows.sum()} {kind}" for kind, rows in kinds.items() if rows.any())
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
