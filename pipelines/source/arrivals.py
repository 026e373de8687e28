"""The simulated part of the demo: the arrivals of a day, from a seed and the day's number alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pipelines.source.drift import SHARES as DRIFT_SHARES
from pipelines.source.drift import Drift
from pipelines.source.noise import STYLES, abbreviate, recase, slip
from pipelines.source.practice import (
    CLERKS,
    DAYS,
    REGION_SHARE,
    REGIONS,
    RULE_CHANGED_DAY,
    Practice,
)

_MOVEMENT = 1
_ARRIVALS = 2
_DRIFT = 3
"""Purposes of random generators, so that each has draws of its own."""
MOVEMENT = 0.12
"""Standard deviation of the log of a block's share from day to day."""
_MEMORY = np.array([1.0, 0.9, 0.8, 0.65, 0.5, 0.35, 0.2])
WRONG_SHARE = 0.02
ENDING_DROPPED = 0.05
SECONDS_PER_DAY = 86_400


@dataclass(frozen=True, eq=False)
class Day:
    """The arrivals of one day in the order of their time, as parallel arrays.

    Attributes
    ----------
    second : (rows,) time within the day, in seconds
    encounter : (rows,) True where a row begins a new encounter; else it belongs to the row before
    clerk : (rows,) index into CLERKS
    term : (rows,) index into the terms of the catalogue
    right, recorded : (rows,) indices into the codes of the catalogue
    phrase : (rows,) what the clerk wrote
    """

    second: np.ndarray
    encounter: np.ndarray
    clerk: np.ndarray
    term: np.ndarray
    right: np.ndarray
    recorded: np.ndarray
    phrase: Sequence[str]


def rows_expected(practice: Practice, day: int) -> float:
    """Return the mean number of rows of a day.

    It grows threefold over the five years, then stays; weekends are quieter.
    """
    growth = (1 + 2 * min(day, DAYS) / DAYS) / 3
    return practice.rows_per_day * growth * (0.55 if day % 7 in (1, 2) else 1.18)


def draw_day(practice: Practice, *, seed: int, day: int, drift: Drift | None = None) -> Day:
    """Draw the arrivals of a day; equal arguments give equal days."""
    rng = _generator(seed, _ARRIVALS, day)
    number = int(rng.poisson(rows_expected(practice, day)))
    region = (rng.random(number) < REGION_SHARE[1]).astype(int)
    block = _draw_blocks(region, _mix_of_day(practice, seed, day), rng)
    term = _draw_terms(practice, block, rng)
    clerk = _draw_clerks(region, rng)
    second, encounter = _times(region, rng)
    if drift is None:
        right, recorded = _codes(practice, term, day, rng)
        phrases = write_phrases(practice, term, clerk, rng)
        return Day(second, encounter, clerk, term, right, recorded, phrases)

    term, local = _drifted_terms(practice, drift, term, _generator(seed, _DRIFT, day))
    phrases = [
        phrase if name < 0 else drift.local_names[name]
        for phrase, name in zip(
            write_phrases(practice, term, clerk, rng), local.tolist(), strict=True
        )
    ]
    code = drift.code[term]
    return Day(second, encounter, clerk, term, code, code, phrases)


def _generator(seed: int, purpose: int, day: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose, day)))


def _draw_terms(practice: Practice, block: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    place = np.searchsorted(practice.ladder, block + rng.random(len(block)), side="right")
    return practice.terms[place]


def _drifted_terms(
    practice: Practice, drift: Drift, term: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Replace a share of the terms.

    Returns the terms, and for each the index of the local name that is written instead, or -1.
    """
    kind = np.searchsorted(np.cumsum(DRIFT_SHARES), rng.random(len(term)), side="right")
    rare_block = np.searchsorted(
        np.cumsum(drift.rare_mix)[:-1], rng.random(len(term)), side="right"
    )
    rare = _draw_terms(practice, rare_block, rng)
    new = drift.new_terms[np.searchsorted(drift.new_ladder, rng.random(len(term)), side="right")]
    name = np.searchsorted(drift.local_ladder, rng.random(len(term)), side="right")
    drifted = np.choose(kind, [rare, new, drift.local_terms[name], term])
    return drifted, np.where(kind == 2, name, -1)


def _mix_of_day(practice: Practice, seed: int, day: int) -> np.ndarray:
    """Return the mix of a day: neighbouring days resemble each other.

    The log shares move by a moving average of daily noise.
    """
    noise = sum(
        weight * _noise(seed, day - back, practice.mix.shape[1])
        for back, weight in enumerate(_MEMORY)
    )
    moved = practice.mix * np.exp(MOVEMENT * noise / np.linalg.norm(_MEMORY))
    mix: np.ndarray = moved / moved.sum(axis=1, keepdims=True)
    return mix


@lru_cache(maxsize=16)
def _noise(seed: int, day: int, blocks: int) -> np.ndarray:
    return _generator(seed, _MOVEMENT, day + len(_MEMORY)).standard_normal(blocks)


def _draw_blocks(region: np.ndarray, mix: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    chance = rng.random(len(region))
    block = np.empty(len(region), dtype=int)
    for number in range(len(REGIONS)):
        here = region == number
        block[here] = np.searchsorted(np.cumsum(mix[number])[:-1], chance[here], side="right")
    return block


def _draw_clerks(region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    chance = rng.random(len(region))
    clerk = np.empty(len(region), dtype=int)
    for number in range(len(REGIONS)):
        desks = [index for index, desk in enumerate(CLERKS) if desk.region == number]
        steps = np.cumsum([CLERKS[index].share for index in desks])[:-1]
        here = region == number
        clerk[here] = np.array(desks)[np.searchsorted(steps, chance[here], side="right")]
    return clerk


def _codes(
    practice: Practice, term: np.ndarray, day: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the right codes by the rule of the day, and the recorded ones: a share is wrong."""
    right = (practice.old_code if day < RULE_CHANGED_DAY else practice.catalogue.code)[term]
    wrong = rng.random(len(term)) < WRONG_SHARE
    other = practice.catalogue.code[
        practice.terms[rng.integers(len(practice.terms), size=len(term))]
    ]
    return right, np.where(wrong, other, right)


def _times(region: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return seconds within the day, most of them in working hours, and where encounters begin.

    A fifth of the rows share the encounter of the row before.
    """
    second = np.sort(SECONDS_PER_DAY * rng.beta(4.0, 3.6, len(region)))
    opens = (rng.random(len(region)) >= 0.2) | (region != np.roll(region, 1))
    opens[:1] = True
    last_opening = np.maximum.accumulate(np.where(opens, np.arange(len(region)), 0))
    return second[last_opening], opens


def write_phrases(
    practice: Practice, term: np.ndarray, clerk: np.ndarray, rng: np.random.Generator
) -> list[str]:
    """Return what the clerks type for the terms: style, ending kept or dropped, slips, case."""
    dropped = rng.random(len(term)) < ENDING_DROPPED
    slipping = rng.random(len(term)) < np.array([desk.slips for desk in CLERKS])[clerk]
    phrases = []
    for number, desk, bare, slips in zip(
        term.tolist(), clerk.tolist(), dropped.tolist(), slipping.tolist(), strict=True
    ):
        phrase = _styled(practice, number, CLERKS[desk].style, bare)
        phrases.append(recase(slip(phrase, rng) if slips else phrase, CLERKS[desk].case))
    return phrases


_written: dict[tuple[int, int, bool], str] = {}


def _styled(practice: Practice, term: int, style: int, bare: bool) -> str:
    key = (term, style, bare)
    if key not in _written:
        phrase = practice.catalogue.base[term] + ("" if bare else practice.catalogue.ending[term])
        _written[key] = abbreviate(phrase, STYLES[style])
    return _written[key]
