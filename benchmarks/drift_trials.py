"""The trials of the drift benchmark: champions, and the scenarios that their traffic plays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from benchmarks import drift_champions as champions
from benchmarks import drift_world as world
from benchmarks.drift_outcomes import Alarms, Outcomes, verdicts_of
from benchmarks.drift_rival import Evidently
from benchmarks.harness import progress
from monitoring.drift.budget import Budget, alarm_level
from monitoring.drift.power import Power, measure_power
from monitoring.drift.rule import Calibration, Score, score
from monitoring.windows.cutting import days_of
from monitoring.windows.statistics import STATISTICS
from pipelines.source.traffic import Arrival

WINDOWS = 4
"""Windows per repetition: enough to see when drift is called."""
CALM_WINDOWS = 12
"""Of calm traffic: 200 repetitions have 2,200 pairs of windows."""
POWER_SIZES = (2000, 1300, 500)
CLASSIFIERS = (1, 3, 21)
FALSE_ALARMS = 2.0
"""The default of `max_false_alarms`."""
LARGE_WINDOW = 2000
SIZES = (LARGE_WINDOW, 500)
EVIDENTLY_REPETITIONS = 20
"""Its tests take longer than ours."""
STEADY_WINDOWS = 12
BUSY_WINDOW = 300
"""A third of a day: the demo's large scale has some 900 rows per day."""
BUSY_HISTORIES = 3

CALM = "day-to-day movement"
IDENTICAL = "identical traffic"
RARE = "a tenth moved to rare labels"
HALF = "half abbreviated"
FIFTH = "a fifth abbreviated"
UNSEEN = "a tenth from an unseen topic"
LOGGED = "steady windows of the log joined"
UNTAUGHT = "day-to-day movement, head without three chapters"
BUSY = "day-to-day movement, a third of a day"
DRIFTED = {RARE, HALF, FIFTH, UNSEEN}


@dataclass
class DriftTrial:
    """A champion with a calibration for one window size, its scenarios, and their outcomes."""

    champion: champions.WatchedChampion
    calibration: Calibration
    size: int
    scenarios: dict[str, world.Change]
    outcomes: dict[str, Outcomes]
    rival: Evidently | None = None
    suffix: str = ""

    def run(self, arrivals: list[Arrival], *, seed: int) -> None:
        """Play one repetition of every scenario."""
        for name, change in self.scenarios.items():
            random = np.random.default_rng((seed, *name.encode()))
            outcomes = self.outcomes.setdefault(name + self.suffix, Outcomes(name in DRIFTED))
            phrases = change(arrivals, random)
            windows = CALM_WINDOWS if name == CALM and not self.suffix else WINDOWS
            outcomes.alarms.append(self._alarms(arrivals, phrases, outcomes, windows=windows))

    def _alarms(
        self, arrivals: list[Arrival], phrases: list[str], outcomes: Outcomes, *, windows: int
    ) -> list[Alarms]:
        scores: list[Score] = []
        for start in range(0, min(windows * self.size, len(arrivals) - self.size + 1), self.size):
            part = slice(start, start + self.size)
            window = self.champion.log(arrivals[part], phrases[part])
            if (
                self.rival is not None
                and start == 0
                and len(outcomes.evidently) < EVIDENTLY_REPETITIONS
            ):
                outcomes.evidently.append(self.rival.alarms(window))
            answers = self.champion.scorer.sample(window)
            scores.append(score(answers, calibration=self.calibration))
            outcomes.window_days.append(days_of(window))
            alarms = [scored.alarms for scored in scores]
            if outcomes.drifted and "drift" in verdicts_of(alarms):
                break

        for pair in pairwise(scores):
            self._count_budgeted(pair, outcomes)
        return [scored.alarms for scored in scores]

    def _count_budgeted(self, pair: tuple[Score, Score], outcomes: Outcomes) -> None:
        """Note whether two windows in a row call drift at the level of each budget."""
        highest = max(min(pair[0].z[name], pair[1].z[name]) for name in STATISTICS)
        for classifiers in CLASSIFIERS:
            level = level_of(
                self.calibration.pairs,
                classifiers=classifiers,
                window_days=outcomes.window_days[-1],
            )
            outcomes.budgeted.setdefault(classifiers, []).append(highest > level)


def level_of(pairs: np.ndarray, *, classifiers: int, window_days: float) -> float:
    """The z of an alarm, where so many classifiers share the budget."""
    budget = Budget.of(max_false_alarms=FALSE_ALARMS, classifiers=classifiers)
    return alarm_level(pairs, chance=budget.chance(window_days=window_days))


def powers_of(champion: champions.WatchedChampion) -> list[tuple[int, int, Power]]:
    """Window size, number of classifiers, and how soon a change of a tenth is called."""
    baseline = champion.baseline()
    rows = champion.reference
    days = rows["occurred_at"].dt.floor("D").nunique()
    powers = []

    for size in POWER_SIZES:
        window_days = size / (rows["weight"].sum() / days)
        for classifiers in CLASSIFIERS:
            pairs = baseline.calibration(size).pairs
            level = level_of(pairs, classifiers=classifiers, window_days=window_days)
            power = measure_power(
                baseline.pool,
                size=size,
                labels=champion.scorer.labels,
                alarm=level,
                window_days=window_days,
                seed=7,
            )
            if power is not None:
                powers.append((size, classifiers, power))
    return powers


def plain_trial(
    champion: champions.WatchedChampion,
    size: int,
    replacements: world.Replacements,
    outcomes: dict[str, Outcomes],
) -> DriftTrial:
    """All scenarios before a champion, in windows of `size`."""
    progress(f"past windows of {size}")
    return DriftTrial(
        champion,
        champion.baseline().calibration(size),
        size,
        scenarios(replacements),
        outcomes,
        Evidently(champion.reference),
    )


def scenarios(replacements: world.Replacements) -> dict[str, world.Change]:
    """Traffic without drift, and the drifts that every champion can see."""
    return {
        CALM: world.unchanged,
        IDENTICAL: world.replaced(replacements.everyday, share=1.0),
        RARE: world.replaced(replacements.rare, share=0.1),
        HALF: world.abbreviated(share=0.5),
        FIFTH: world.abbreviated(share=0.2),
    }


def untaught_trial(
    vectors: champions.Vectors,
    replacements: world.Replacements,
    outcomes: dict[str, Outcomes],
    *,
    quick: bool,
) -> DriftTrial:
    """A champion that was never taught some chapters, and phrases of those chapters."""
    progress("training without " + ", ".join(champions.UNSEEN))
    champion = champions.untaught_champion(vectors)
    changes = {UNTAUGHT: world.unchanged, UNSEEN: world.unseen_topic(replacements, share=0.1)}
    rival = None if quick else Evidently(champion.reference)
    calibration = champion.baseline().calibration(LARGE_WINDOW)
    return DriftTrial(champion, calibration, LARGE_WINDOW, changes, outcomes, rival)


def joined_trial(
    champion: champions.WatchedChampion,
    replacements: world.Replacements,
    outcomes: dict[str, Outcomes],
    *,
    seed: int,
) -> DriftTrial:
    """A champion after some time: steady windows of its own log have joined the baseline."""
    baseline = champion.baseline()
    arrivals = world.play(seed=seed * 1_000_000 - 1, rows=STEADY_WINDOWS * LARGE_WINDOW)
    rows = champion.log(arrivals, [arrival.phrase for arrival in arrivals])
    for start in range(0, STEADY_WINDOWS * LARGE_WINDOW, LARGE_WINDOW):
        baseline.join(rows.iloc[start : start + LARGE_WINDOW])

    changes = scenarios(replacements)
    return DriftTrial(
        champion,
        baseline.calibration(LARGE_WINDOW),
        LARGE_WINDOW,
        {name: changes[name] for name in (CALM, RARE, HALF)},
        outcomes,
        suffix=f", {LOGGED}",
    )


def busy_trials(
    champion: champions.WatchedChampion, outcomes: dict[str, Outcomes], *, seed: int
) -> Sequence[DriftTrial]:
    """So much traffic that a window is a part of a day; the references are of such days, too."""
    progress(f"past windows of {BUSY_WINDOW}, a third of a day")
    busy = [
        champions.with_other_history(champion, seed=seed * 1_000 + number, scale="large")
        for number in range(BUSY_HISTORIES)
    ]
    return [
        DriftTrial(
            other,
            other.baseline().calibration(BUSY_WINDOW),
            BUSY_WINDOW,
            {BUSY: world.unchanged},
            outcomes,
        )
        for other in busy
    ]
