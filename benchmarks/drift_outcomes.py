"""Counts what the drift rule did in one scenario: alarms, called drifts, statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from monitoring.drift.budget import DAYS_PER_YEAR
from monitoring.drift.rule import judge

Alarms = tuple[str, ...]
Count = tuple[int, int]  # hits, trials


@dataclass
class Outcomes:
    """Alarms of one scenario: for each repetition, those of its windows in order.

    `evidently` holds the alarms of Evidently's tests, for the windows that it also judged. Drifted
    traffic is played until drift is called; `single` and `of` count only its first two windows,
    which are always played.
    """

    drifted: bool
    alarms: list[list[Alarms]] = field(default_factory=list)
    budgeted: dict[int, list[bool]] = field(default_factory=dict)
    """Number of classifiers that share the budget -> for each pair of windows, whether it calls."""
    window_days: list[float] = field(default_factory=list)
    evidently: list[dict[str, bool]] = field(default_factory=list)

    @property
    def _counted(self) -> list[Alarms]:
        played = [windows[:2] if self.drifted else windows for windows in self.alarms]
        return [alarms for windows in played for alarms in windows]

    @property
    def single(self) -> Count:
        """Windows with an alarm."""
        return sum(map(bool, self._counted)), len(self._counted)

    @property
    def called(self) -> Count:
        """Windows called drift, of those with a window before them."""
        verdicts = [kind == "drift" for windows in self.alarms for kind in verdicts_of(windows)[1:]]
        return sum(verdicts), len(verdicts)

    def called_with(self, classifiers: int) -> Count:
        """Pairs of windows called drift at the level of a budget that so many classifiers share."""
        calls = self.budgeted.get(classifiers, [])
        return sum(calls), len(calls)

    def calls_per_year(self, classifiers: int) -> float | None:
        """Calls per year over all of them, at the pace of these windows; None without pairs."""
        calls, pairs = self.called_with(classifiers)
        if not pairs:
            return None
        windows = DAYS_PER_YEAR / (sum(self.window_days) / len(self.window_days))
        return round(classifiers * windows * calls / pairs, 2)

    def by(self, window: int) -> Count:
        """Repetitions in which drift was called by this window."""
        called = ["drift" in verdicts_of(windows[:window]) for windows in self.alarms]
        return sum(called), len(called)

    def of(self, statistic: str) -> Count:
        """Windows in which this statistic alarmed."""
        return sum(statistic in alarms for alarms in self._counted), len(self._counted)

    def of_evidently(self) -> dict[str, Count]:
        """Windows in which Evidently's test of a column alarmed."""
        return {
            column: (sum(alarms[column] for alarms in self.evidently), len(self.evidently))
            for column in ("label", "probability")
        }


def verdicts_of(windows: Sequence[Alarms]) -> list[str]:
    """The verdicts of consecutive windows, from their alarms."""
    previous = [(), *windows]
    return [
        judge(alarms, before=before).kind for before, alarms in zip(previous, windows, strict=False)
    ]


def share(count: Count) -> str:
    """Share in per cent, with its 95 % interval by Wilson."""
    from scipy.stats import binomtest

    hits, trials = count
    if not trials:
        return "-"
    low, high = binomtest(hits, trials).proportion_ci(method="wilson")
    return f"{100 * hits / trials:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def percent(count: Count) -> float | None:
    """Share in per cent; None without trials."""
    hits, trials = count
    return round(100 * hits / trials, 2) if trials else None
