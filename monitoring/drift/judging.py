"""Judges pending windows in order: each against the baseline, then steady ones join it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import pandas as pd

from core.contracts import Verdict
from monitoring.drift.budget import Budget, alarm_level
from monitoring.drift.calling import (
    BROKEN,
    CALLS,
    Called,
    broken_client,
    decide_call,
    grown,
    last_call,
    without_repetition,
)
from monitoring.drift.moved import Labelled, beyond_usual, moved_phrases
from monitoring.drift.power import Power, measure_power
from monitoring.drift.rule import Score, judge, score, shortage
from monitoring.windows.baseline import Baseline
from monitoring.windows.clocks import name_wrong_clocks
from monitoring.windows.cutting import LEAST_ROWS, Window, days_of, evenly, on_time, round_rows
from monitoring.windows.damaged import Damage, find_damage
from monitoring.windows.nearest_baseline import BaselineComparison, Baselines, TrafficBaseline
from monitoring.windows.pending import PendingWindows, unlearnt
from monitoring.windows.reports import earlier_alarms, run_start
from monitoring.windows.scoring import WindowScorer


@dataclass(frozen=True)
class JudgedWindow:
    """One judged window and the rows it was compared with.

    `score` is None when there were too few rows to compare with. `read` counts the rows of the
    window; `rows` lacks those whose right label the champion has learnt. `moved` holds the phrases
    of a drift (see `moved_phrases`), and `notes` names clients that send something wrong.
    `began` is the start of the run of its alarms, None without one.
    `nearest` is the baseline that the window was compared with. `refused` is the share of its
    answers that said "none of these", None where no version could refuse.
    """

    window: Window
    read: int
    rows: pd.DataFrame
    nearest: TrafficBaseline
    baseline: pd.DataFrame
    score: Score | None
    verdict: Verdict
    moved: pd.DataFrame = field(default_factory=pd.DataFrame)
    notes: tuple[str, ...] = ()
    refused: float | None = None
    began: datetime | None = None

    @property
    def alarms(self) -> tuple[str, ...]:
        return self.score.alarms if self.score else ()

    @property
    def z(self) -> dict[str, float]:
        return self.score.z if self.score else {}

    @property
    def statistics(self) -> dict[str, dict[str, float]]:
        """Name -> value, z, and the limit above which z alarms; empty without a score."""
        if self.score is None:
            return {}
        values = self.score.values
        limit = self.score.alarm
        return {name: {"value": values[name], "z": z, "limit": limit} for name, z in self.z.items()}

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


@dataclass(frozen=True)
class Judge:
    """Judges the windows of one champion. `least_share` of the moved answers must have labels."""

    scorer: WindowScorer
    baselines: Baselines
    labelled: Labelled
    least_share: float
    false_alarms: Budget
    seed: int

    def judge_all(self, pending: PendingWindows) -> Iterator[JudgedWindow]:
        """Judge the windows in order. One without an alarm joins the baseline of the next one."""
        alarms = self._alarms_before(pending)
        earlier = earlier_alarms(
            pending.reports, pending.version, harmless=pending.harmless, newest=alarms
        )
        called = last_call(pending.reports, version=pending.version, harmless=pending.harmless)
        for window, rows in zip(pending.windows, pending.rows, strict=True):
            judged = self._judge(window, rows, before=alarms, called=called)
            alarms = judged.alarms
            if alarms:
                judged = replace(judged, began=run_start(judged.start, alarms, earlier))
            earlier.append((judged.start, alarms))
            called = _call_after(judged, called)
            if not alarms:
                judged.nearest.baseline.join(judged.rows)
            self.baselines.current = None if alarms else judged.nearest.window
            yield judged

    def power(self, judged: JudgedWindow) -> Power | None:
        """Return how soon a change would be called in windows like this one."""
        size = round_rows(len(judged.rows))
        pool = judged.nearest.baseline.pool
        if judged.score is None or shortage(pool, size=size):
            return None
        return measure_power(
            pool,
            size=size,
            labels=self.scorer.labels,
            alarm=judged.score.alarm,
            window_days=days_of(judged.rows),
            seed=self.seed,
        )

    def _judge(
        self, window: Window, rows: pd.DataFrame, *, before: Sequence[str], called: Called | None
    ) -> JudgedWindow:
        fresh = unlearnt(rows)
        if len(fresh) < LEAST_ROWS:
            reason = f"the champion has learnt {len(rows) - len(fresh)} of the {len(rows)} answers"
            verdict = Verdict("insufficient", (reason,))
            own = self.baselines.own
            return JudgedWindow(window, len(rows), rows, own, own.baseline.rows, None, verdict)

        comparison = self.baselines.compare(fresh, self._score)
        past = comparison.past.rows
        damage = find_damage(fresh, past)
        notes = tuple(filter(None, (damage.sentence, name_wrong_clocks(fresh))))

        judged = JudgedWindow(
            window,
            len(rows),
            fresh,
            comparison.nearest,
            past,
            comparison.score,
            self._verdict(fresh, comparison, before),
            notes=notes,
        )

        if judged.verdict.kind != "drift":
            return judged
        return self._called(judged, damage, called)

    def _verdict(
        self, rows: pd.DataFrame, comparison: BaselineComparison, before: Sequence[str]
    ) -> Verdict:
        if comparison.score is None:
            lack = shortage(comparison.past.pool, size=round_rows(len(rows))) or ""
            return Verdict("insufficient", (lack,))
        verdict = judge(comparison.score.alarms, before=before)
        if verdict.kind == "steady" and comparison.accepted:
            return Verdict("steady", (comparison.accepted,))
        return verdict

    def _called(self, judged: JudgedWindow, damage: Damage, called: Called | None) -> JudgedWindow:
        """Decide what is done about a window that drifted."""
        whole = judged.rows[~damage.rows] if damage.named else judged.rows
        moved = beyond_usual(
            moved_phrases(whole, judged.baseline),
            judged.baseline,
            size=len(whole),
            labelled=self.labelled,
            seed=self.seed,
        )
        reasons = judged.verdict.reasons
        if damage.may_explain and self._as_before(whole, called):
            verdict = broken_client(reasons)
        else:
            verdict = decide_call(
                moved, labelled=self.labelled, least_share=self.least_share, reasons=reasons
            )
        verdict = without_repetition(verdict, called, alarms=judged.alarms, z=judged.z)
        return replace(judged, verdict=verdict, moved=moved)

    def _alarms_before(self, pending: PendingWindows) -> Sequence[str]:
        """Return the alarms of the window before the first pending one, by today's head.

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
        scored = self._nearest(pending.before)
        return scored.alarms if scored else ()

    def _as_before(self, rows: pd.DataFrame, called: Called | None) -> bool:
        """Return True for rows without an alarm, or with those that were called already."""
        if len(rows) < LEAST_ROWS / 2:
            return True  # nothing but damage
        scored = self._nearest(rows)
        if scored is None:
            return False
        # the z of a broken client's call contains the damage
        before = None if called is None or called.kind == BROKEN else called
        return not grown(before, alarms=scored.alarms, z=scored.z)

    def _nearest(self, rows: pd.DataFrame) -> Score | None:
        return self.baselines.compare(rows, self._score).score

    def _score(self, rows: pd.DataFrame, baseline: Baseline) -> Score | None:
        """Score a window; None when the pool is too small for it.

        Of a window that is not of a round size some rows are left out, evenly spread: past windows
        of another size cannot be compared.
        """
        size = round_rows(len(rows))
        if shortage(baseline.pool, size=size):
            return None
        chosen = rows.iloc[evenly(size, of=len(rows))]
        calibration = baseline.calibration(size)
        chance = self.false_alarms.chance(window_days=days_of(rows))
        alarm = alarm_level(calibration.pairs, chance=chance)
        return score(self.scorer.sample(chosen), calibration=calibration, alarm=alarm)


def _call_after(judged: JudgedWindow, called: Called | None) -> Called | None:
    """Return the call that the window belongs to: its own, the one before, or none when calm."""
    if not judged.alarms:
        return None
    if judged.verdict.kind == BROKEN and called is not None:
        return called
    if judged.verdict.kind in CALLS:
        return Called(judged.verdict.kind, judged.window.number, judged.z)
    return called
