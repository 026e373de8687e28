"""The trials of the drift benchmark: champions, and the scenarios that their traffic plays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks import drift_champions as champions
from benchmarks import drift_world as world
from benchmarks.drift_outcomes import Alarms, Outcomes, verdicts_of
from benchmarks.drift_rival import Evidently
from benchmarks.harness import progress
from monitoring.drift import Calibration, score
from pipelines.source.traffic import Arrival

WINDOWS = 4
"""Windows per repetition: enough to see when drift is called."""
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
class Trial:
    """A champion with a calibration for one window size, its scenarios, and their outcomes."""

    champion: champions.Champion
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
            outcomes.alarms.append(self._alarms(arrivals, phrases, outcomes))

    def _alarms(
        self, arrivals: list[Arrival], phrases: list[str], outcomes: Outcomes
    ) -> list[Alarms]:
        alarms: list[Alarms] = []
        for start in range(0, min(WINDOWS * self.size, len(arrivals) - self.size + 1), self.size):
            part = slice(start, start + self.size)
            window = self.champion.log(arrivals[part], phrases[part])
            if (
                self.rival is not None
                and start == 0
                and len(outcomes.evidently) < EVIDENTLY_REPETITIONS
            ):
                outcomes.evidently.append(self.rival.alarms(window))
            answers = self.champion.scorer.sample(window)
            alarms.append(score(answers, calibration=self.calibration).alarms)
            if outcomes.drifted and "drift" in verdicts_of(alarms):
                break
        return alarms


def plain_trial(
    champion: champions.Champion,
    size: int,
    replacements: world.Replacements,
    outcomes: dict[str, Outcomes],
) -> Trial:
    """All scenarios before a champion, in windows of `size`."""
    progress(f"past windows of {size}")
    return Trial(
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
) -> Trial:
    """A champion that was never taught some chapters, and phrases of those chapters."""
    progress("training without " + ", ".join(champions.UNSEEN))
    champion = champions.untaught_champion(vectors)
    changes = {UNTAUGHT: world.unchanged, UNSEEN: world.unseen_topic(replacements, share=0.1)}
    rival = None if quick else Evidently(champion.reference)
    calibration = champion.baseline().calibration(LARGE_WINDOW)
    return Trial(champion, calibration, LARGE_WINDOW, changes, outcomes, rival)


def joined_trial(
    champion: champions.Champion,
    replacements: world.Replacements,
    outcomes: dict[str, Outcomes],
    *,
    seed: int,
) -> Trial:
    """A champion after some time: steady windows of its own log have joined the baseline."""
    baseline = champion.baseline()
    arrivals = world.play(seed=seed * 1_000_000 - 1, rows=STEADY_WINDOWS * LARGE_WINDOW)
    rows = champion.log(arrivals, [arrival.phrase for arrival in arrivals])
    for start in range(0, STEADY_WINDOWS * LARGE_WINDOW, LARGE_WINDOW):
        baseline.join(rows.iloc[start : start + LARGE_WINDOW])

    changes = scenarios(replacements)
    return Trial(
        champion,
        baseline.calibration(LARGE_WINDOW),
        LARGE_WINDOW,
        {name: changes[name] for name in (CALM, RARE, HALF)},
        outcomes,
        suffix=f", {LOGGED}",
    )


def busy_trials(
    champion: champions.Champion, outcomes: dict[str, Outcomes], *, seed: int
) -> Sequence[Trial]:
    """So much traffic that a window is a part of a day; the references are of such days, too."""
    progress(f"past windows of {BUSY_WINDOW}, a third of a day")
    busy = [
        champions.with_other_history(champion, seed=seed * 1_000 + number, scale="large")
        for number in range(BUSY_HISTORIES)
    ]
    return [
        Trial(
            other,
            other.baseline().calibration(BUSY_WINDOW),
            BUSY_WINDOW,
            {BUSY: world.unchanged},
            outcomes,
        )
        for other in busy
    ]
