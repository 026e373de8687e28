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
class TrafficBaseline:
    """The baseline of one kind of traffic that is normal.

    `window` names accepted traffic, None the champion's own past. Until its baseline can judge,
    accepted traffic is what is like `anchor`, the rows of the window that was accepted. Traffic
    that a person did not call `expected` is so only in one run: after a window of other traffic
    the same statistics may have another cause.
    """

    baseline: Baseline
    window: int | None = None
    why: str = ""
    anchor: pd.DataFrame = field(default_factory=pd.DataFrame)
    expected: bool = False


@dataclass(frozen=True)
class BaselineComparison:
    """The baseline that a window is nearest to, and its score; None for too few rows.

    `past` is what the score compares with. `accepted` says why a window passes that would alarm
    beside the champion's past.
    """

    nearest: TrafficBaseline
    past: Baseline
    score: Score | None
    accepted: str = ""


@dataclass
class Baselines:
    """The baselines of a champion: its own past first, then accepted traffic.

    `current` names the accepted traffic of the newest window, None after any other: a window that
    nothing can judge is taken for its kind. Nothing is scored before it is needed.
    """

    kinds: Sequence[TrafficBaseline]
    current: int | None = None
    _anchors: dict[int, Mapping[str, float] | None] = field(default_factory=dict)

    @property
    def own(self) -> TrafficBaseline:
        return self.kinds[0]

    def compare(self, rows: pd.DataFrame, score: Scored) -> BaselineComparison:
        """Return how a window compares with the baseline that it is nearest to."""
        by_own = score(rows, self.own.baseline)
        if by_own is not None and not by_own.alarms:
            return BaselineComparison(self.own, self.own.baseline, by_own)
        comparisons = [BaselineComparison(self.own, self.own.baseline, by_own)]
        for kind in reversed(self.kinds[1:]):
            scored = score(rows, kind.baseline)
            if scored is None and by_own is not None and self._like(kind, by_own, score):
                like = f"like window {kind.window}: {kind.why}"
                return BaselineComparison(kind, self.own.baseline, replace(by_own, alarms=()), like)
            comparisons.append(BaselineComparison(kind, kind.baseline, scored, kind.why))
        judged = [comparison for comparison in comparisons if comparison.score is not None]
        if judged:
            return min(judged, key=_distance)
        return next(
            comparison for comparison in comparisons if comparison.nearest is self._newest()
        )

    def _newest(self) -> TrafficBaseline:
        return next(kind for kind in self.kinds if kind.window == self.current)

    def _like(self, kind: TrafficBaseline, by_own: Score, score: Scored) -> bool:
        """Return whether it may be this traffic, and no statistic has grown by half since."""
        assert kind.window is not None
        if not (kind.expected or kind.window == self.current):
            return False
        if kind.window not in self._anchors:
            anchor = score(kind.anchor, self.own.baseline) if len(kind.anchor) else None
            self._anchors[kind.window] = anchor.z if anchor else None
        z = self._anchors[kind.window]
        if z is None:
            return False
        called = Called(ACCEPTED, kind.window, z)
        return not grown(called, alarms=by_own.alarms, z=by_own.z)


def _distance(comparison: BaselineComparison) -> float:
    """Return the largest z in levels of an alarm; -inf is nearest."""
    score = comparison.score
    assert score is not None
    return max(score.z.values()) / score.alarm
