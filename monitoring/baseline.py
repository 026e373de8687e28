"""What is normal for a champion: its reference rows, then its own steady windows."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property

import pandas as pd

from monitoring.drift import Calibration, Pool, calibrate
from monitoring.scoring import WindowScorer

JOIN_FROM = 6
JOIN_AT_MOST = 18


def since_drift(reference: pd.DataFrame, began: datetime | None) -> pd.DataFrame:
    """Leave out the rows from before a drift, when the champion was trained on rows from after it.

    Otherwise a version that learnt the drift would be held against the world before it, and called back to training for ever.
    Too few rows may be left; the first windows are then taken on trust.
    """
    if began is None or reference.empty or reference["occurred_at"].max() < began:
        return reference
    return reference[reference["occurred_at"] >= began].reset_index(drop=True)


class Baseline:
    """The pool that past windows are dealt from.

    It holds the champion's reference rows (labelled rows of its newest days, weighted to look like live traffic; `since_drift`
    leaves out those from before a drift that the champion has learnt). Once
    JOIN_FROM windows of the champion's own log passed without any alarm, the newest JOIN_AT_MOST of them join. A window with an
    alarm never joins, nor does any row of another champion. Where the reference is too small to judge by, the first windows are
    taken on trust: they alarm nothing, so they join.
    """

    def __init__(self, reference: pd.DataFrame, meter: WindowScorer, *, seed: int) -> None:
        self._reference, self._meter, self._seed = reference, meter, seed
        self._calm: list[pd.DataFrame] = []
        self._calibrations: dict[int, Calibration] = {}

    def join(self, window: pd.DataFrame) -> None:
        self._calm.append(window)
        if len(self._calm) >= JOIN_FROM:
            vars(self).pop("rows", None)
            vars(self).pop("pool", None)
            self._calibrations.clear()

    @cached_property
    def rows(self) -> pd.DataFrame:
        joined = self._calm[-JOIN_AT_MOST:] if len(self._calm) >= JOIN_FROM else []
        parts = [part for part in (self._reference, *joined) if len(part)]
        if not parts:
            return self._reference
        return pd.concat(parts, ignore_index=True).sort_values(
            "occurred_at", kind="stable", ignore_index=True
        )

    @cached_property
    def pool(self) -> Pool:
        return self._meter.pool(self.rows)

    def calibration(self, size: int) -> Calibration:
        if size not in self._calibrations:
            self._calibrations[size] = calibrate(
                self.pool, size=size, labels=self._meter.labels, seed=self._seed
            )
        return self._calibrations[size]
