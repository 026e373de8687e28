"""What is normal for a champion: its reference rows, then its own steady windows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property

import pandas as pd

from monitoring.drift.rule import Calibration, Pool, calibrate
from monitoring.windows.scoring import WindowScorer

JOIN_FROM = 6  # as many windows as a pool must hold (monitoring.drift.rule.LEAST_WINDOWS)
JOIN_AT_MOST = 18  # a change slower than eighteen windows becomes normal (docs/drift-rule.md)


def since_drift(reference: pd.DataFrame, began: datetime | None) -> pd.DataFrame:
    """Leave out the rows from before a drift that the champion was trained on.

    Otherwise a version that learned the drift would be compared with the traffic before it, and
    every window would call for a retraining. Too few rows may be left; the first windows then join
    the baseline without a judgement.
    """
    if began is None or reference.empty or reference["occurred_at"].max() < began:
        return reference
    return reference[reference["occurred_at"] >= began].reset_index(drop=True)


def joined_rows(windows: Sequence[int]) -> int:
    """Return how many rows join the reference rows, from those of the newest steady windows.

    Without them the windows of a version that learnt a drift would stay as small as the first ones:
    its reference has few rows, however long it has answered since.
    """
    return sum(windows[-JOIN_AT_MOST:]) if len(windows) >= JOIN_FROM else 0


class Baseline:
    """The pool that past windows are drawn from.

    It starts with the champion's reference rows: labelled rows of its newest days, weighted to look
    like live traffic (docs/decisions/0001-drift-reference-rows.md). Once JOIN_FROM windows of the
    champion's own log have passed without an alarm, the newest JOIN_AT_MOST of them join. A window
    with an alarm never joins, nor does a row of another champion. Where the reference is too small
    to judge by, the first windows join without a judgement.
    """

    def __init__(self, reference: pd.DataFrame, scorer: WindowScorer, *, seed: int) -> None:
        self._reference = reference
        self._scorer = scorer
        self._seed = seed
        self._steady: list[pd.DataFrame] = []
        self._calibrations: dict[int, Calibration] = {}

    def join(self, window: pd.DataFrame) -> None:
        """Add a window without an alarm."""
        self._steady.append(window)
        if len(self._steady) >= JOIN_FROM:
            self._forget_derived()

    @cached_property
    def rows(self) -> pd.DataFrame:
        """All rows of the pool, in order of time."""
        joined = self._steady[-JOIN_AT_MOST:] if len(self._steady) >= JOIN_FROM else []
        parts = [part for part in (self._reference, *joined) if len(part)]
        if not parts:
            return self._reference
        together = pd.concat(parts, ignore_index=True)
        return together.sort_values("occurred_at", kind="stable", ignore_index=True)

    @cached_property
    def pool(self) -> Pool:
        return self._scorer.pool(self.rows)

    def calibration(self, size: int) -> Calibration:
        """Return the past windows of `size` rows, measured once until the next window joins."""
        if size not in self._calibrations:
            self._calibrations[size] = calibrate(
                self.pool, size=size, labels=self._scorer.labels, seed=self._seed
            )
        return self._calibrations[size]

    def _forget_derived(self) -> None:
        vars(self).pop("rows", None)
        vars(self).pop("pool", None)
        self._calibrations.clear()
