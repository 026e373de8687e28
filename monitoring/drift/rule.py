"""The history-calibrated drift rule, pure: compares a window with many past ones of the same size.

Past windows are drawn from a pool of answers that live traffic should resemble
(`monitoring/windows/baseline.py` has it). For each one the days of the pool are dealt into two
halves: one half is the reference, whole days of the other make the window. So the day-to-day
movement of real traffic counts as normal and raises no alarm.

docs/drift-rule.md has the formulae, the figures and the limits; `python -m benchmarks.drift` prints
the figures.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from core.contracts import Verdict
from monitoring.drift.budget import ALARM
from monitoring.windows.statistics import (
    STATISTICS,
    References,
    WindowSample,
    make_references,
    measure,
    summarise,
)

# The constants of the rule; docs/drift-rule.md has their effect on false and missed alarms.
PAST_WINDOWS = 400
LEAST_DAYS = 8
LEAST_WINDOWS = 6
ONE_SAMPLE = np.array(
    [name in ("low_confidence", "novelty_mean", "novelty_p90") for name in STATISTICS]
)
LEAST_SCALE = np.array([0.002, 0.001, 0.003, 0.002, 0.001, 0.002])
"""Lower limit of the spread, in the order of STATISTICS.

A fifth to a half of what real traffic shows at 2,000 rows. Without it one unsure answer raises an
alarm for a head that was never unsure before.
"""


@dataclass(frozen=True)
class Pool:
    """Answers in order of time.

    `day` (n,) is any int per day; `weight` (n,) is the number of rows that an answer stands for, at
    least 1.
    """

    sample: WindowSample
    day: np.ndarray
    weight: np.ndarray

    @property
    def rows(self) -> float:
        return float(self.weight.sum())


@dataclass(frozen=True)
class Calibration:
    """What is normal: the references, and the mean and scale (6,) of the past windows.

    `mean` and `scale` are in the order of STATISTICS. `pairs` (PAST_WINDOWS,) holds for each pair
    of past windows the largest z that a statistic had in both.
    """

    references: References
    mean: np.ndarray
    scale: np.ndarray
    pairs: np.ndarray


@dataclass(frozen=True)
class Score:
    """The six statistics of a window: `values` (mean over the references), `z`, and the alarms.

    `z` is the distance above the mean of the past windows, in standard deviations. Those above
    `alarm` are the alarms.
    """

    values: dict[str, float]
    z: dict[str, float]
    alarms: tuple[str, ...]
    alarm: float = ALARM


def shortage(pool: Pool, *, size: int) -> str | None:
    """Return what a pool lacks to make past windows of `size` rows, or None."""
    return lack_of_rows(pool.rows, days=len(np.unique(pool.day)), size=size)


def lack_of_rows(rows: float, *, days: int, size: int) -> str | None:
    """Return what rows of so many days lack to make past windows of `size` rows, or None."""
    if rows < LEAST_WINDOWS * size:
        return f"{rows:.0f} rows to compare with; {LEAST_WINDOWS} windows of {size} are needed"
    if days < LEAST_DAYS:
        return f"{days} days to compare with; {LEAST_DAYS} are needed"
    return None


def calibrate(pool: Pool, *, size: int, labels: int, seed: int) -> Calibration:
    """Measure PAST_WINDOWS pairs of past windows of `size` rows. Equal arguments, equal results.

    `labels` is the number of label codes.
    """
    deals = deal_pairs(pool, size=size, pairs=PAST_WINDOWS, seed=seed)
    references = references_of(pool, deals, labels=labels)
    past = measure_pairs(pool, deals, references, labels=labels)
    every = past.reshape(-1, len(STATISTICS))
    mean = np.mean(every, axis=0)
    spread = np.std(every, axis=0, ddof=1)
    pairs = ((past - mean) / np.maximum(spread, LEAST_SCALE)).min(axis=1).max(axis=1)
    widened = spread * _widening(size / pool.rows)
    return Calibration(references, mean, np.maximum(widened, LEAST_SCALE), pairs)


def references_of(pool: Pool, deals: Deals, *, labels: int) -> References:
    """Make the reference of each deal from the rows that the deal puts in it."""
    return make_references(
        pool.sample,
        weight=pool.weight,
        group=deals.group,
        chosen=deals.in_reference,
        labels=labels,
    )


def measure_pairs(pool: Pool, deals: Deals, references: References, *, labels: int) -> np.ndarray:
    """Return (pairs, 2, 6): the statistics of each past window.

    It meets only the reference of its own deal: the others may hold its rows.
    """
    return np.array([
        [
            measure(
                summarise(pool.sample.take(window), labels=labels),
                references=references.only(number),
            )[0]
            for window in pair
        ]
        for number, pair in enumerate(deals.windows)
    ])  # fmt: skip


@dataclass(frozen=True)
class Deals:
    """Past windows in pairs, and the days that each pair is compared with.

    `group` (n,) numbers the day of each answer of the pool, `in_reference` (pairs, days) bool,
    `windows` holds two arrays of row numbers per pair; no day is in both.
    """

    group: np.ndarray
    in_reference: np.ndarray
    windows: list[tuple[np.ndarray, np.ndarray]]


def deal_pairs(pool: Pool, *, size: int, pairs: int, seed: int) -> Deals:
    """Deal the days of the pool: half for the reference, a quarter for each window of a pair."""
    random = np.random.default_rng(seed)
    days, group = np.unique(pool.day, return_inverse=True)
    in_reference = np.zeros((pairs, len(days)), bool)
    windows = []
    for chosen in in_reference:
        chosen[:] = deal_days(len(days), random=random)
        others = random.permutation(np.flatnonzero(~chosen))
        halves = np.array_split(others, 2)
        first, second = (
            _window_of(pool, np.isin(group, half), size=size, random=random) for half in halves
        )
        windows.append((first, second))
    return Deals(group, in_reference, windows)


def _window_of(
    pool: Pool, among: np.ndarray, *, size: int, random: np.random.Generator
) -> np.ndarray:
    rows = np.flatnonzero(among)
    drawn = draw_window(pool.day[rows], pool.weight[rows], size=size, random=random)
    return np.asarray(rows[drawn])


def _widening(share: float) -> np.ndarray:
    """Return the factors (6,) that restore the spread of the statistics without a reference.

    A past window is drawn without replacement from half of the pool, which narrows its spread by
    (1 - 2 f), f being the window's share of the pool. A live window is not drawn from the pool, and
    the mean of the pool is itself uncertain, which widens it by (1 + f). See docs/drift-rule.md.
    """
    remaining = max(1 - 2 * share, 0.1)  # the pool holds six windows, so f is at most a sixth
    return np.where(ONE_SAMPLE, np.sqrt((1 + share) / remaining), 1.0)


def deal_days(days: int, *, random: np.random.Generator) -> np.ndarray:
    """Deal the days at random into two halves: bool (days,), True for one of them."""
    chosen = np.zeros(days, bool)
    chosen[random.permutation(days)[: days // 2]] = True
    return chosen


def draw_window(
    day: np.ndarray, weight: np.ndarray, *, size: int, random: np.random.Generator
) -> np.ndarray:
    """Draw `size` row numbers: whole days of the rows of weight 1, and rows that stand for several.

    The heavier rows are drawn from all days; their share of the window is that of their weight.
    Repeating each of them by its weight made past windows less varied than live ones: the
    Jensen-Shannon distance was two standard deviations too high, and the rule missed drift.
    """
    heavy = np.flatnonzero(weight > 1)
    light = np.flatnonzero(weight <= 1)
    filled = round(size * weight[heavy].sum() / weight.sum()) if len(light) else size
    whole_days = _draw_days(light, day[light], rows=size - filled, random=random)
    return np.concatenate([whole_days, _draw_rows(heavy, rows=filled, random=random)])


def _draw_rows(index: np.ndarray, *, rows: int, random: np.random.Generator) -> np.ndarray:
    """Draw without replacement; when all rows are drawn, start again."""
    rounds = -(-rows // len(index)) if rows else 0
    return np.concatenate([index[:0], *(random.permutation(index) for _ in range(rounds))])[:rows]


def _draw_days(
    index: np.ndarray, day: np.ndarray, *, rows: int, random: np.random.Generator
) -> np.ndarray:
    """Draw days without replacement; of the last one, a random stretch that fits."""
    days, start = np.unique(day, return_index=True)
    by_day = np.split(index, start[1:]) if len(index) else []
    drawn = [index[:0]]
    missing = rows
    while missing:
        for number in random.permutation(len(days)):
            stretch = _stretch(by_day[number], missing, random)
            drawn.append(stretch)
            missing -= len(stretch)
            if not missing:
                break
    return np.concatenate(drawn)


def _stretch(index: np.ndarray, rows: int, random: np.random.Generator) -> np.ndarray:
    start = random.integers(len(index) - rows + 1) if len(index) > rows else 0
    return index[start : start + rows]


def score(window: WindowSample, *, calibration: Calibration, alarm: float = ALARM) -> Score:
    """Compare a window with the past ones; a z above `alarm` is an alarm."""
    summary = summarise(window, labels=calibration.references.shares.shape[1])
    values = measure(summary, references=calibration.references).mean(axis=0)
    z = (values - calibration.mean) / calibration.scale
    alarms = tuple(name for name, height in zip(STATISTICS, z, strict=True) if height > alarm)
    return Score(_named(values), _named(z), alarms, alarm)


def _named(values: np.ndarray) -> dict[str, float]:
    return {name: round(float(value), 6) for name, value in zip(STATISTICS, values, strict=True)}


def judge(alarms: Collection[str], *, before: Collection[str] = ()) -> Verdict:
    """Return "steady", "warning" (any alarm) or "drift" (an alarm that the window before had too).

    The second window is what makes drift rare in ordinary traffic: no pair of 2,200, where 1.8 % of
    the windows alarm (docs/drift-rule.md).
    """
    again = sorted(set(alarms) & set(before))
    if again:
        reason = f"{', '.join(again)} far from the past in two windows in a row"
        return Verdict("drift", (reason,))
    if alarms:
        return Verdict("warning", (f"{', '.join(sorted(alarms))} far from the past in one window",))
    return Verdict("steady", ("all six statistics are within the past",))
