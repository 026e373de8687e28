"""Cuts the traffic of a classifier into windows: by order of arrival, whoever was champion. Pure.

Windows are in order and without overlap, and they go on across promotions. `occurred_at` says only
how many days a window spans.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.params.drift import DriftParams

POOL_WINDOWS = 6  # a pool of less history makes smaller windows (docs/drift-rule.md)
LEAST_ROWS = 100
LEAST_DAYS = 1.0
EDGE = 25
"""Rows whose median tells the time at an end of a window: a few wrong clocks do not move it."""
DAY = np.timedelta64(1, "D") / np.timedelta64(1, "ns")


@dataclass(frozen=True)
class Limits:
    """How large a window gets: `rows` and at least a day, or `days` and at least LEAST_ROWS."""

    rows: int
    days: float


@dataclass(frozen=True)
class Window:
    """A stretch of the log, from one sequence number to another.

    `number` counts a classifier's windows from 1. `answers` is the number of client rows in it;
    None: not counted, more than CLOSE_READ of them. `rows` of them are read, evenly spread.
    """

    number: int
    first: int
    last: int
    answers: int | None
    rows: int

    @property
    def sampled(self) -> bool:
        return self.answers is None or self.answers > self.rows

    @property
    def sample(self) -> str:
        """What the rows are a sample of; "" where all answers are read."""
        if not self.sampled:
            return ""
        return (
            "a sample of its answers" if self.answers is None else f"a sample of {self.answers:,}"
        )


def effective_window(reference: Path, drift: DriftParams) -> int:
    """Return the number of rows of one window.

    That is `window_rows`, or a sixth of the rows that the reference stands for, at least 100.
    """
    return window_size(pool_rows(reference), window_rows=drift.window_rows)


def pool_rows(reference: Path) -> float:
    """Return the sum of the weights in reference.parquet, 0 when there is no such file."""
    if not reference.is_file():
        return 0.0
    weights = pq.read_table(reference, columns=["weight"])["weight"]
    return float(pc.sum(weights).as_py() or 0)


def window_size(rows: float, *, window_rows: int) -> int:
    """Return the rows of one window, from the number of rows that the reference stands for."""
    return max(min(window_rows, int(rows) // POOL_WINDOWS), LEAST_ROWS)


def round_rows(rows: int) -> int:
    """Round down to two digits: windows of nearly equal size share their past windows."""
    step = int(10 ** max(len(str(rows)) - 2, 0))
    return rows // step * step


def end_of_window(occurred_at: np.ndarray, limits: Limits) -> int | None:
    """Return how many of these rows the first window takes; None when it is not complete yet.

    `occurred_at` is datetime64 (n,), in order of arrival. Further rows never change the result.
    """
    spans = days_spanned(occurred_at)
    rows = np.arange(1, len(spans) + 1)
    full = (rows >= limits.rows) & (spans >= LEAST_DAYS)
    late = (rows >= LEAST_ROWS) & (spans >= limits.days)
    ends = np.flatnonzero(full | late)
    return int(ends[0]) + 1 if len(ends) else None


def days_spanned(occurred_at: np.ndarray) -> np.ndarray:
    """Return float (n,): the days that the first 1, 2, ... n rows span, -inf below EDGE rows.

    The time at each end is the median of EDGE rows. So a minority of rows from elsewhere, years
    ago or ahead, does not stretch a window. The span is scaled up for the two half edges.
    """
    days = occurred_at.astype("datetime64[ns]").astype("int64").astype(float) / DAY
    if len(days) <= EDGE:
        return np.full(len(days), -np.inf)
    ends = pd.Series(days).rolling(EDGE).median().to_numpy()
    rows = np.arange(1, len(days) + 1)
    between = ends - ends[EDGE - 1]
    scale = rows / np.maximum(rows - EDGE, 1)
    spans = np.full(len(days), -np.inf)
    spans[EDGE:] = between[EDGE:] * scale[EDGE:]
    return spans


def days_of(rows: pd.DataFrame) -> float:
    """Return how many days a window spans, at least LEAST_DAYS, whatever single clocks say."""
    spans = days_spanned(rows["occurred_at"].to_numpy(dtype="datetime64[ns]"))
    return max(float(spans[-1]), LEAST_DAYS) if len(spans) else LEAST_DAYS


def days_off(occurred_at: np.ndarray) -> np.ndarray:
    """Return float (n,): how many days each row is dated after the rows that came with it.

    Those are the EDGE rows around it in order of arrival; their median tells the time.
    """
    days = pd.Series(occurred_at.astype("datetime64[ns]").astype("int64").astype(float) / DAY)
    around = days.rolling(EDGE, center=True, min_periods=1).median()
    return np.asarray(days - around)


def on_time(occurred_at: np.ndarray) -> np.ndarray:
    """Return bool (n,): whether each row is dated within a day of the rows that came with it."""
    return np.asarray(np.abs(days_off(occurred_at)) <= LEAST_DAYS)


def evenly(rows: int, *, of: int) -> np.ndarray:
    """Return int (rows,): positions spread evenly over `of` rows; all when there are fewer."""
    if rows >= of:
        return np.arange(of)
    return np.arange(rows) * of // rows
