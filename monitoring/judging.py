"""Judges pending windows in order: each against the baseline, then steady ones join it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from core.contracts import Verdict
from monitoring.baseline import Baseline
from monitoring.drift import Score, judge, score, shortage
from monitoring.pending import PendingWindows
from monitoring.scoring import WindowScorer
from monitoring.windows import Window


@dataclass(frozen=True)
class JudgedWindow:
    """One judged window and the rows it was compared with.

    `score` is None when there were too few rows to compare with.
    """

    window: Window
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
        return _moment(self.rows, 0)

    @property
    def end(self) -> datetime:
        return _moment(self.rows, -1)


def judge_windows(
    pending: PendingWindows, scorer: WindowScorer, baseline: Baseline
) -> Iterator[JudgedWindow]:
    """Judge the windows in order. A window without an alarm joins the baseline of the next one."""
    alarms: Sequence[str] = pending.reports[-1].alarms if pending.reports else ()
    for window, rows in zip(pending.windows, pending.rows, strict=True):
        judged = _judge_window(window, rows, scorer, baseline, before=alarms)
        alarms = judged.alarms
        if not alarms:
            baseline.join(rows)
        yield judged


def _judge_window(
    window: Window,
    rows: pd.DataFrame,
    scorer: WindowScorer,
    baseline: Baseline,
    *,
    before: Sequence[str],
) -> JudgedWindow:
    if lack := shortage(baseline.pool, size=window.rows):
        verdict = Verdict("insufficient", (lack,))
        return JudgedWindow(window, rows, baseline.rows, None, verdict)
    scored = score(scorer.sample(rows), calibration=baseline.calibration(window.rows))
    verdict = judge(scored.alarms, before=before)
    return JudgedWindow(window, rows, baseline.rows, scored, verdict)


def _moment(rows: pd.DataFrame, position: int) -> datetime:
    moment: datetime = rows["occurred_at"].iloc[position].to_pydatetime()
    return moment
