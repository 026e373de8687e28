"""The history-calibrated drift rule, pure: a window is held against many past windows of the same size.

Past windows are dealt from a pool of answers that live traffic should resemble (`watching` says which). Each time the
pool's days are dealt into two halves: one is the reference, whole days of the other make a window. So the day-to-day
movement of real traffic is part of what counts as normal, and no alarm comes from it.

The rule with its formulae, its figures and its limits: docs/drift-rule.md; `python -m benchmarks.drift` prints the figures.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from core.contracts import Verdict
from monitoring.statistics import (
    STATISTICS,
    References,
    WindowSample,
    make_references,
    measure,
    summarise,
)

ALARM = 3.0
PAST_WINDOWS = 400
LEAST_DAYS = 8
LEAST_WINDOWS = 6
ONE_SAMPLE = np.array(
    [name in ("low_confidence", "novelty_mean", "novelty_p90") for name in STATISTICS]
)
LEAST_SCALE = np.array([0.002, 0.001, 0.003, 0.002, 0.001, 0.002])
"""Smallest spread believed, a fifth to a half of what real traffic shows at 2,000 rows: without it one unsure answer alarms a
head that was never unsure before."""


@dataclass(frozen=True)
class Pool:
    """Answers in order of time, with the day of each (any int) and the rows it stands for (`weight`, at least 1)."""

    answers: WindowSample
    day: np.ndarray
    weight: np.ndarray

    @property
    def rows(self) -> float:
        return float(self.weight.sum())


@dataclass(frozen=True)
class Calibration:
    """What normal is: the references, and mean and scale (6,) of the past windows in the order of STATISTICS."""

    references: References
    mean: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True)
class Score:
    """A window's six statistics (mean over the references), how many scales each lies above the past, and which alarm."""

    values: dict[str, float]
    z: dict[str, float]
    alarms: tuple[str, ...]


def shortage(pool: Pool, *, size: int) -> str | None:
    """Say what a pool lacks to make past windows of `size` rows, or None."""
    days = len(np.unique(pool.day))
    if pool.rows < LEAST_WINDOWS * size:
        return f"{pool.rows:.0f} rows to compare with; {LEAST_WINDOWS} windows of {size} are needed"
    return f"{days} days to compare with; {LEAST_DAYS} are needed" if days < LEAST_DAYS else None


def calibrate(
    pool: Pool, *, size: int, labels: int, seed: int, past_windows: int = PAST_WINDOWS
) -> Calibration:
    """Measure past windows of `size` rows; `labels` is the number of label codes. Equal arguments give equal results."""
    random = np.random.default_rng(seed)
    days, group = np.unique(pool.day, return_inverse=True)
    chosen, windows = np.zeros((past_windows, len(days)), bool), []
    for older in chosen:
        older[:] = deal_days(len(days), random=random)
        newer = np.flatnonzero(~older[group])
        window = newer[draw_window(pool.day[newer], pool.weight[newer], size=size, random=random)]
        windows.append(summarise(pool.answers.take(window), labels=labels))
    references = make_references(
        pool.answers, weight=pool.weight, group=group, chosen=chosen, labels=labels
    )
    past = np.concatenate(
        [
            measure(window, references=references.only(number))
            for number, window in enumerate(windows)
        ]
    )
    spread = np.std(past, axis=0, ddof=1) * _widening(size / pool.rows)
    return Calibration(references, np.mean(past, axis=0), np.maximum(spread, LEAST_SCALE))


def _widening(share: float) -> np.ndarray:
    """Undo what dealing hides of the spread of the statistics that have no reference: (6,).

    A past window is drawn without putting back, from half of the pool; a live one is not, and the pool's own mean is uncertain.
    """
    return np.where(ONE_SAMPLE, np.sqrt((1 + share) / max(1 - 2 * share, 0.1)), 1.0)


def deal_days(days: int, *, random: np.random.Generator) -> np.ndarray:
    """Deal the days at random into two halves: bool (days,), True for one of them."""
    chosen = np.zeros(days, bool)
    chosen[random.permutation(days)[: days // 2]] = True
    return chosen


def draw_window(
    day: np.ndarray, weight: np.ndarray, *, size: int, random: np.random.Generator
) -> np.ndarray:
    """Draw `size` row numbers: whole days of the rows of weight 1, filled up with rows that stand for several.

    The heavier rows are drawn from all days, their share of the window that of their weight: repeating each as often as its
    weight says made windows less varied than live ones (Jensen-Shannon 2 scales too high), and the rule blind.
    """
    heavy, light = np.flatnonzero(weight > 1), np.flatnonzero(weight <= 1)
    filled = round(size * weight[heavy].sum() / weight.sum()) if len(light) else size
    whole_days = _draw_days(light, day[light], rows=size - filled, random=random)
    return np.concatenate([whole_days, _draw_rows(heavy, rows=filled, random=random)])


def _draw_rows(index: np.ndarray, *, rows: int, random: np.random.Generator) -> np.ndarray:
    """Draw without putting back, again from the start when all are drawn."""
    rounds = -(-rows // len(index)) if rows else 0
    return np.concatenate([index[:0], *(random.permutation(index) for _ in range(rounds))])[:rows]


def _draw_days(
    index: np.ndarray, day: np.ndarray, *, rows: int, random: np.random.Generator
) -> np.ndarray:
    """Draw days without putting back; of the last one a random stretch that fits."""
    days, start = np.unique(day, return_index=True)
    by_day = np.split(index, start[1:]) if len(index) else []
    drawn, missing = [index[:0]], rows
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


def score(window: WindowSample, *, calibration: Calibration) -> Score:
    """Hold a window against the past: z above 3 is an alarm."""
    summary = summarise(window, labels=calibration.references.shares.shape[1])
    values = measure(summary, references=calibration.references).mean(axis=0)
    z = (values - calibration.mean) / calibration.scale
    alarms = tuple(name for name, height in zip(STATISTICS, z, strict=True) if height > ALARM)
    return Score(_named(values), _named(z), alarms)


def _named(values: np.ndarray) -> dict[str, float]:
    return {name: round(float(value), 6) for name, value in zip(STATISTICS, values, strict=True)}


def judge(alarms: Collection[str], *, before: Collection[str] = ()) -> Verdict:
    """Return "steady", "warning" (any alarm) or "drift" (an alarm that the window before had, too)."""
    again = sorted(set(alarms) & set(before))
    if again:
        return Verdict("drift", (f"{', '.join(again)} far from the past in two windows running",))
    if alarms:
        return Verdict("warning", (f"{', '.join(sorted(alarms))} far from the past in one window",))
    return Verdict("steady", ("all six statistics within the past",))
