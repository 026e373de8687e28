"""What a window is compared with: the champion's past, and every traffic that was accepted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from monitoring.drift.calling import ACCEPTED, Called, grown
from monitoring.drift.rule import Score
from monitoring.windows.baseline import Baseline

Scored = Callable[[pd.DataFrame, Baseline], Score | None]
"""Rows and a baseline to their score; None where the baseline is too small."""


@dataclass
class Normal:
    """One kind of traffic that is normal.

    `window` names accepted traffic, None the champion's own past. Until its baseline can judge,
    accepted traffic is what is like `anchor`, the rows of the window that was accepted.
    """

    baseline: Baseline
    window: int | None = None
    why: str = ""
    anchor: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True)
class Comparison:
    """The normal that a window is nearest to, and its score; None for too few rows.

    `past` is what the score compares with. `accepted` says why a window passes that would alarm
    beside the champion's past.
    """

    normal: Normal
    past: Baseline
    score: Score | None
    accepted: str = ""


@dataclass
class Normals:
    """The champion's own past first, then accepted traffic.

    `current` names the accepted traffic of the newest window: a window that nothing can judge is
    taken for its kind. Nothing is scored before it is needed.
    """

    normals: Sequence[Normal]
    current: int | None = None
    _anchors: dict[int, Mapping[str, float] | None] = field(default_factory=dict)

    @property
    def own(self) -> Normal:
        return self.normals[0]

    def compare(self, rows: pd.DataFrame, score: Scored) -> Comparison:
        """Return how a window compares with the normal that it is nearest to."""
        comparison = self.nearest(rows, score)
        if comparison.score is None or not comparison.score.alarms:
            self.current = comparison.normal.window
        return comparison

    def nearest(self, rows: pd.DataFrame, score: Scored) -> Comparison:
        """As `compare`, and remember nothing."""
        by_own = score(rows, self.own.baseline)
        if by_own is not None and not by_own.alarms:
            return Comparison(self.own, self.own.baseline, by_own)
        comparisons = [Comparison(self.own, self.own.baseline, by_own)]
        for normal in reversed(self.normals[1:]):
            scored = score(rows, normal.baseline)
            if scored is None and by_own is not None and self._like(normal, by_own, score):
                like = f"like window {normal.window}: {normal.why}"
                return Comparison(normal, self.own.baseline, replace(by_own, alarms=()), like)
            comparisons.append(Comparison(normal, normal.baseline, scored, normal.why))
        judged = [comparison for comparison in comparisons if comparison.score is not None]
        if judged:
            return min(judged, key=_distance)
        return next(comparison for comparison in comparisons if comparison.normal is self._newest())

    def _newest(self) -> Normal:
        return next(normal for normal in self.normals if normal.window == self.current)

    def _like(self, normal: Normal, by_own: Score, score: Scored) -> bool:
        """Return whether no statistic has grown by half since the accepted window."""
        assert normal.window is not None
        if normal.window not in self._anchors:
            anchor = score(normal.anchor, self.own.baseline) if len(normal.anchor) else None
            self._anchors[normal.window] = anchor.z if anchor else None
        z = self._anchors[normal.window]
        if z is None:
            return False
        called = Called(ACCEPTED, normal.window, z)
        return not grown(called, alarms=by_own.alarms, z=by_own.z)


def _distance(comparison: Comparison) -> float:
    """Return the largest z in levels of an alarm; -inf is nearest."""
    score = comparison.score
    assert score is not None
    return max(score.z.values()) / score.alarm
