"""How soon a change of a tenth of the traffic would be called, tried on past windows. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from monitoring.drift.budget import ALARM
from monitoring.drift.rule import LEAST_SCALE, Deals, Pool, deal_pairs, measure_pairs, references_of
from monitoring.windows.statistics import STATISTICS

CHANGE = 0.1
"""Share of the traffic that moves: to phrases of rare labels."""
RARE = 0.05
"""The rare labels are the rarest ones that together have at most this share of the pool. Where
none has so little, the rarest one stands for them."""
PAIRS = 100
SELDOM = 0.1
"""Below this chance per pair of windows a change is not called."""


@dataclass(frozen=True)
class Power:
    """The chance that two windows in a row call a change of `CHANGE`.

    `window_days` is how long a window takes, `alarm` the z that it must exceed, and
    `unlimited_chance` the chance at z 3, the alarm without a budget of false ones. `pool_rows` are
    the past rows that windows are dealt from.
    """

    chance: float
    unlimited_chance: float
    window_rows: int
    window_days: float
    alarm: float
    pool_rows: float

    @property
    def days(self) -> float | None:
        """How many days such a call takes on average; None when it is not to be expected."""
        return self._days(self.chance)

    def _days(self, chance: float) -> float | None:
        return None if chance < SELDOM else self.window_days * (1 + 1 / chance)

    def as_evidence(self) -> dict[str, Any]:
        return {
            "change": CHANGE,
            "chance": round(self.chance, 3),
            "window_rows": self.window_rows,
            "window_days": round(self.window_days, 2),
            "alarm": round(self.alarm, 2),
            "pool_rows": round(self.pool_rows),
            "days": _rounded(self.days),
            "unlimited_days": _rounded(self._days(self.unlimited_chance)),
        }


def _rounded(days: float | None) -> float | None:
    return None if days is None else round(days, 1)


def measure_power(
    pool: Pool, *, size: int, labels: int, alarm: float, window_days: float, seed: int
) -> Power | None:
    """Replay pairs of past windows, a tenth replaced by rare phrases; None below two labels."""
    rare, change = _rare_rows(pool, labels)
    if not len(rare):
        return None

    deals = deal_pairs(pool, size=size, pairs=PAIRS, seed=seed)
    references = references_of(pool, deals, labels=labels)
    calm = measure_pairs(pool, deals, references, labels=labels)

    random = np.random.default_rng(seed)
    changed = Deals(
        deals.group,
        deals.in_reference,
        [
            (
                _replaced(first, rare, change, random),
                _replaced(second, rare, change, random),
            )
            for first, second in deals.windows
        ],
    )

    moved = measure_pairs(pool, changed, references, labels=labels)
    every = calm.reshape(-1, len(STATISTICS))
    scale = np.maximum(every.std(axis=0, ddof=1), LEAST_SCALE)
    both = ((moved - every.mean(axis=0)) / scale).min(axis=1).max(axis=1)
    return Power(
        chance=float((both > alarm).mean()),
        unlimited_chance=float((both > ALARM).mean()),
        window_rows=size,
        window_days=window_days,
        alarm=alarm,
        pool_rows=pool.rows,
    )


def _rare_rows(pool: Pool, labels: int) -> tuple[np.ndarray, float]:
    """Return the rows of rare labels, and which share of a window has to be replaced by them.

    That is more than CHANGE where one frequent label stands for them: it replaces itself, too.
    """
    weight = np.bincount(pool.sample.label, weights=pool.weight, minlength=labels)
    order = np.argsort(weight, kind="stable")
    order = order[weight[order] > 0]
    if len(order) < 2:
        return np.zeros(0, dtype=int), CHANGE

    shares = weight[order] / weight.sum()
    few = int((np.cumsum(shares) <= RARE).sum())
    rare = np.flatnonzero(np.isin(pool.sample.label, order[: max(few, 1)]))
    return rare, CHANGE if few else CHANGE / (1 - shares[0])


def _replaced(
    window: np.ndarray, rare: np.ndarray, change: float, random: np.random.Generator
) -> np.ndarray:
    changed = window.copy()
    places = random.permutation(len(window))[: round(change * len(window))]
    changed[places] = random.choice(rare, len(places))
    return changed
