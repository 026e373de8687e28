"""Judges pending windows in order: each against the baseline, then steady ones join it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from core.contracts import Verdict
from monitoring.baseline import Baseline
from monitoring.drift import Score, judge, score, shortage
from monitoring.pending import PendingWindows, unlearnt
from monitoring.scoring import WindowScorer
from monitoring.windows import LEAST_ROWS, Window, evenly, on_time, round_rows


@dataclass(frozen=True)
class JudgedWindow:
    """One judged window and the rows it was compared with.

    `score` is None when there were too few rows to compare with. `read` counts the rows of the
    window; `rows` lacks those whose right label the champion has learnt.
    """

    window: Window
    read: int
    rows: pd.DataFrame
    baseline: pd.DataFrame
    score: Score | None
    verdict: Verdict

    @property
    def alarms(self) -> tuple[str, ...]:
        return self.score.alarms if self.score else ()

    @property
    def z(self) -> dict[str, float]:
        return self.score.z if self.score else {}

    @property
    def start(self) -> datetime:
        """The earliest moment of its rows; rows of clocks that are off tell no time."""
        earliest: datetime = self._moments.min().to_pydatetime()
        return earliest

    @property
    def end(self) -> datetime:
        latest: datetime = self._moments.max().to_pydatetime()
        return latest

    @property
    def _moments(self) -> pd.Series:
        moments = self.rows["occurred_at"]
        timely = moments[on_time(moments.to_numpy(dtype="datetime64[ns]"))]
        return timely if len(timely) else moments


def judge_windows(
    pending: PendingWindows, scorer: WindowScorer, baseline: Baseline
) -> Iterator[JudgedWindow]:
    """Judge the windows in order. A window without an alarm joins the baseline of the next one."""
    alarms = _alarms_before(pending, scorer, baseline)
    for window, rows in zip(pending.windows, pending.rows, strict=True):
        judged = _judge_window(window, rows, scorer, baseline, before=alarms)
        alarms = judged.alarms
        if not alarms:
            baseline.join(judged.rows)
        yield judged


def _alarms_before(
    pending: PendingWindows, scorer: WindowScorer, baseline: Baseline
) -> Sequence[str]:
    """Return the alarms of the window before the first pending one, by the head that answers now.

    What an earlier champion said of it does not count: it may have learnt that traffic, or have
    been left for a version before it.
    """
    newest = pending.reports[-1] if pending.reports else None
    if newest is None:
        return ()
    if newest.version == pending.version:
        return newest.alarms
    if pending.before is None or len(pending.before) < LEAST_ROWS:
        return ()
    scored = _score_rows(pending.before, scorer, baseline)
    return scored.alarms if scored else ()


def _judge_window(
    window: Window,
    rows: pd.DataFrame,
    scorer: WindowScorer,
    baseline: Baseline,
    *,
    before: Sequence[str],
) -> JudgedWindow:
    fresh = unlearnt(rows)
    if len(fresh) < LEAST_ROWS:
        reason = f"the champion has learnt {len(rows) - len(fresh)} of the {len(rows)} answers"
        verdict = Verdict("insufficient", (reason,))
        return JudgedWindow(window, len(rows), rows, baseline.rows, None, verdict)
    scored = _score_rows(fresh, scorer, baseline)
    if scored is None:
        lack = shortage(baseline.pool, size=round_rows(len(fresh))) or ""
        verdict = Verdict("insufficient", (lack,))
    else:
        verdict = judge(scored.alarms, before=before)
    return JudgedWindow(window, len(rows), fresh, baseline.rows, scored, verdict)


def _score_rows(rows: pd.DataFrame, scorer: WindowScorer, baseline: Baseline) -> Score | None:
    """Score a window; None when the pool is too small for it.

    Of a window that is not of a round size some rows are left out, evenly spread: past windows of
    another size cannot be compared.
    """
    size = round_rows(len(rows))
    if shortage(baseline.pool, size=size):
        return None
    chosen = rows.iloc[evenly(size, of=len(rows))]
    return score(scorer.sample(chosen), calibration=baseline.calibration(size))
