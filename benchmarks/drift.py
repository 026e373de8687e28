"""How often the drift rule is wrong, and how often it sees: its false alarms and its detection, beside Evidently's default tests.

    python -m benchmarks.drift [--quick] [--json] [--seed N] [--repetitions 200]

Needs the demo's snapshot and models (`make data`, then `dvc repro`).
"""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import drift_world as world
from benchmarks.drift_rival import Evidently
from benchmarks.harness import Bar, Result, options, present, table, tell, timed
from monitoring.drift import Calibration, judge, score
from monitoring.reports import Headline, describe, write_report
from monitoring.statistics import STATISTICS

WINDOWS, SIZES = 4, (2000, 500)
"""Windows played for each repetition: enough to tell when drift is called."""
EVIDENTLY_REPETITIONS = 20
"""Its tests take longer than ours."""
HISTORIES = 5
"""Courses of the newest days that references are drawn from: the stored one, and others."""
STEADY_WINDOWS, JOINED_EVERY = 12, 4
REPORT_ROWS = 100_000
CALM, IDENTICAL, RARE = "day-to-day movement", "identical traffic", "a tenth moved to rare labels"
HALF, FIFTH, UNSEEN = "half abbreviated", "a fifth abbreviated", "a tenth from an unseen topic"
LOGGED, UNTAUGHT = (
    "steady windows of the log joined",
    "day-to-day movement, head without three chapters",
)
BUSY, BUSY_WINDOW, BUSY_HISTORIES = "day-to-day movement, a third of a day", 300, 3
"""The demo's large scale has some 900 rows a day."""
DRIFTED = {RARE, HALF, FIFTH, UNSEEN}


@dataclass
class Seen:
    """What came of one scenario: for each repetition the alarms of its windows in turn; Evidently's, where it was asked.

    Drifted traffic is played until drift is called; `single` and `of` count its first two windows, which are always played.
    """

    drifted: bool
    alarms: list[list[tuple[str, ...]]] = field(default_factory=list)
    evidently: list[dict[str, bool]] = field(default_factory=list)

    @property
    def _counted(self) -> list[tuple[str, ...]]:
        return [
            alarms
            for windows in self.alarms
            for alarms in (windows[:2] if self.drifted else windows)
        ]

    @property
    def single(self) -> tuple[int, int]:
        """Windows with an alarm, of how many."""
        return sum(map(bool, self._counted)), len(self._counted)

    @property
    def called(self) -> tuple[int, int]:
        """Windows called drift, of those with a window before them."""
        verdicts = [kind == "drift" for windows in self.alarms for kind in verdicts_of(windows)[1:]]
        return sum(verdicts), len(verdicts)

    def by(self, window: int) -> tuple[int, int]:
        """Repetitions in which drift was called by this window."""
        return sum("drift" in verdicts_of(windows[:window]) for windows in self.alarms), len(
            self.alarms
        )

    def of(self, statistic: str) -> tuple[int, int]:
        """Windows in which this statistic alarmed."""
        return sum(statistic in alarms for alarms in self._counted), len(self._counted)


def verdicts_of(windows: Sequence[tuple[str, ...]]) -> list[str]:
    """The verdicts of windows that follow each other, from their alarms."""
    return [
        judge(alarms, before=before).kind
        for before, alarms in zip([(), *windows], windows, strict=False)
    ]


def share(found: tuple[int, int]) -> str:
    """Share in per cent, with its 95 % interval by Wilson."""
    from scipy.stats import binomtest

    hits, trials = found
    if not trials:
        return "-"
    low, high = binomtest(hits, trials).proportion_ci(method="wilson")
    return f"{100 * hits / trials:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def percent(found: tuple[int, int]) -> float | None:
    """Share in per cent; None of nothing."""
    return round(100 * found[0] / found[1], 2) if found[1] else None


@dataclass
class Trial:
    """A champion with its past windows of one size, the scenarios that traffic plays before it, and what was seen of each."""

    champion: world.Champion
    calibration: Calibration
    size: int
    scenarios: dict[str, world.Change]
    seen: dict[str, Seen]
    rival: Evidently | None = None
    suffix: str = ""

    def run(self, arrivals: list[world.Arrival], *, seed: int) -> None:
        """Play one repetition of every scenario."""
        for name, change in self.scenarios.items():
            random = np.random.default_rng((seed, *name.encode()))
            one = self.seen.setdefault(name + self.suffix, Seen(name in DRIFTED))
            one.alarms.append(self._alarms(arrivals, change(arrivals, random), one))

    def _alarms(
        self, arrivals: list[world.Arrival], phrases: list[str], one: Seen
    ) -> list[tuple[str, ...]]:
        alarms: list[tuple[str, ...]] = []
        for start in range(0, min(WINDOWS * self.size, len(arrivals) - self.size + 1), self.size):
            part = slice(start, start + self.size)
            window = self.champion.log(arrivals[part], phrases[part])
            if self.rival is not None and start == 0 and len(one.evidently) < EVIDENTLY_REPETITIONS:
                one.evidently.append(self.rival.alarms(window))
            alarms.append(
                score(self.champion.meter.sample(window), calibration=self.calibration).alarms
            )
            if one.drifted and "drift" in verdicts_of(alarms):
                break
        return alarms


def measure(*, seed: int, repetitions: int, quick: bool) -> Result:
    """Play every scenario before every champion; `seed` draws the traffic, never the champions' heads."""
    vectors = world.snapshot_vectors()
    stored = world.stored_champion(vectors)
    strangers = world.draw_strangers(seed=seed * 1_000_003, rows=15_000 if quick else 80_000)
    champions = [
        stored,
        *(
            world.with_other_history(stored, seed=seed * 1_000 + number)
            for number in range(1, 1 if quick else HISTORIES)
        ),
    ]
    seen: dict[int, dict[str, Seen]] = {size: {} for size in SIZES}
    trials = [
        [_trial(champion, size, strangers, seen[size]) for size in SIZES] for champion in champions
    ]
    untaught = _untaught(vectors, strangers, seen[2000], quick=quick)
    joined = None if quick else _joined(stored, strangers, seen[2000], seed=seed)
    busy = [] if quick else _busy(stored, seen.setdefault(BUSY_WINDOW, {}), seed=seed)
    played = 0
    for number in _until_interrupted(repetitions):
        future = seed * 1_000_000 + number
        arrivals = world.play(seed=future, rows=WINDOWS * max(SIZES))
        for trial in trials[number % len(trials)]:
            trial.run(arrivals, seed=future)
        untaught.run(
            [one for one in arrivals if one.labels["chapter"] not in world.UNSEEN], seed=future
        )
        if joined is not None and number % JOINED_EVERY == 0:
            joined.run(arrivals, seed=future)
        for trial in busy[number % BUSY_HISTORIES :][:1]:
            trial.run(
                world.play(seed=future, rows=WINDOWS * BUSY_WINDOW, scale="large"), seed=future
            )
        played = number + 1
    report = time_report(stored)
    about = f"{len(stored.head.labels)} labels; {strangers.rare_labels} rare ones; {played} repetitions of up to {WINDOWS} windows; "
    about += f"{len(champions)} references of about {len(stored.reference)} rows; real embeddings"
    return Result(
        figures_of(seen) | {"report_seconds": report},
        bars_of(seen[2000], report),
        tables_of(seen, report),
        about,
    )


def _until_interrupted(repetitions: int) -> Iterator[int]:
    """Number the repetitions; after Ctrl-C (once) the one at work is finished and the result is of those played."""
    stop: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: stop.append(number))
    try:
        for number in range(repetitions):
            if stop:
                return
            tell(f"repetition {number + 1} of {repetitions}")
            yield number
    finally:
        signal.signal(signal.SIGINT, before)


def _trial(
    champion: world.Champion, size: int, strangers: world.Stranger, seen: dict[str, Seen]
) -> Trial:
    tell(f"past windows of {size}")
    return Trial(
        champion,
        champion.normal().calibration(size),
        size,
        _scenarios(strangers),
        seen,
        Evidently(champion.reference),
    )


def _scenarios(strangers: world.Stranger) -> dict[str, world.Change]:
    return {
        CALM: world.unchanged, IDENTICAL: world.replaced(strangers.everyday, share=1.0), RARE: world.replaced(strangers.rare, share=0.1),
        HALF: world.abbreviated(share=0.5), FIFTH: world.abbreviated(share=0.2),
    }  # fmt: skip


def _untaught(
    vectors: world.Vectors, strangers: world.Stranger, seen: dict[str, Seen], *, quick: bool
) -> Trial:
    tell("training without " + ", ".join(world.UNSEEN))
    champion = world.untaught_champion(vectors, head={"kind": "majority"} if quick else None)
    scenarios = {UNTAUGHT: world.unchanged, UNSEEN: world.unseen_topic(strangers, share=0.1)}
    rival = None if quick else Evidently(champion.reference)
    return Trial(champion, champion.normal().calibration(2000), 2000, scenarios, seen, rival)


def _joined(
    champion: world.Champion, strangers: world.Stranger, seen: dict[str, Seen], *, seed: int
) -> Trial:
    """The champion after a while: steady windows of its own log have joined the pool, as `watch` lets them."""
    normal = champion.normal()
    arrivals = world.play(seed=seed * 1_000_000 - 1, rows=STEADY_WINDOWS * 2000)
    rows = champion.log(arrivals, [one.phrase for one in arrivals])
    for number in range(STEADY_WINDOWS):
        normal.join(rows.iloc[number * 2000 : (number + 1) * 2000])
    scenarios = {
        name: change for name, change in _scenarios(strangers).items() if name in (CALM, RARE, HALF)
    }
    return Trial(champion, normal.calibration(2000), 2000, scenarios, seen, suffix=f", {LOGGED}")


def _busy(champion: world.Champion, seen: dict[str, Seen], *, seed: int) -> list[Trial]:
    """So much traffic that a window is a part of a day: the references, too, are of such days."""
    tell(f"past windows of {BUSY_WINDOW}, a third of a day")
    others = [
        world.with_other_history(champion, seed=seed * 1_000 + number, scale="large")
        for number in range(BUSY_HISTORIES)
    ]
    return [
        Trial(
            one, one.normal().calibration(BUSY_WINDOW), BUSY_WINDOW, {BUSY: world.unchanged}, seen
        )
        for one in others
    ]


def time_report(champion: world.Champion) -> dict[str, float]:
    """Seconds of one Evidently report on REPORT_ROWS answers against the champion's reference, page and workspace written."""
    tell(f"a report on {REPORT_ROWS} answers")
    answers = champion.reference.sample(REPORT_ROWS, replace=True, random_state=1).reset_index(
        drop=True
    )
    headline = Headline(
        world.KEY, "1", 1, datetime(2026, 2, 1, tzinfo=UTC), "steady", ("a benchmark",)
    )
    with tempfile.TemporaryDirectory() as folder, timed() as timing:
        described = [
            describe(rows, novelty=champion.meter.novelty(rows))
            for rows in (answers, champion.reference)
        ]
        write_report(
            described[0],
            described[1],
            headline=headline,
            file=Path(folder, "window.html"),
            workspace=Path(folder, "workspace"),
        )
    return {"wall": round(timing.wall, 1), "cpu": round(timing.cpu, 1)}


def bars_of(seen: dict[str, Seen], report: dict[str, float]) -> list[Bar]:
    """The bars, all for windows of 2,000; detection is drift called by the second window."""
    return [
        Bar("single false alarms, % of windows", percent(seen[CALM].single), 5.0),
        Bar("drift called without drift, % of windows", percent(seen[CALM].called), 1.0),
        Bar(f"detection, {RARE}, %", percent(seen[RARE].by(2)), 95.0, at_least=True),
        Bar(f"detection, {HALF}, %", percent(seen[HALF].by(2)), 95.0, at_least=True),
        Bar(f"detection, {UNSEEN}, %", percent(seen[UNSEEN].by(2)), 85.0, at_least=True),
        Bar(f"report on {REPORT_ROWS:,} answers, wall seconds", report["wall"], 30.0),
        Bar(f"report on {REPORT_ROWS:,} answers, CPU seconds", report["cpu"], 30.0),
    ]


def figures_of(seen: dict[int, dict[str, Seen]]) -> dict[str, Any]:
    """Per window size and scenario: hits and trials of everything that the tables tell as shares."""
    return {
        str(size): {
            name: {
                "single": one.single,
                "called": one.called,
                **{f"by_window_{number}": one.by(number) for number in range(2, WINDOWS + 1)},
            }
            | {
                "statistics": {statistic: one.of(statistic) for statistic in STATISTICS},
                "evidently": _evidently_of(one),
            }
            for name, one in scenarios.items()
        }
        for size, scenarios in seen.items()
    }


def _evidently_of(one: Seen) -> dict[str, tuple[int, int]]:
    return {
        column: (sum(told[column] for told in one.evidently), len(one.evidently))
        for column in ("label", "probability")
    }


def tables_of(seen: dict[int, dict[str, Seen]], report: dict[str, float]) -> list[str]:
    """One table a question."""
    every = [
        (size, name, one) for size, scenarios in seen.items() for name, one in scenarios.items()
    ]
    calm, drifted = (
        [row for row in every if not row[2].drifted],
        [row for row in every if row[2].drifted],
    )
    first, numbers = ("window", "traffic"), range(2, WINDOWS + 1)
    by = (*first, "windows alarmed", *(f"drift called by window {number}" for number in numbers))
    rivals = (*first, "this rule", "Evidently, label", "Evidently, probability")
    return [
        table(
            (*first, "windows alarmed", "called drift"),
            [(size, name, share(one.single), share(one.called)) for size, name, one in calm],
        ),
        table(
            by,
            [
                (size, name, share(one.single), *(share(one.by(number)) for number in numbers))
                for size, name, one in drifted
            ],
        ),
        table((*first, *STATISTICS), [(size, name, *_heights(one)) for size, name, one in every]),
        table(
            rivals,
            [
                (size, name, share(one.single), *map(share, _evidently_of(one).values()))
                for size, name, one in every
                if one.evidently
            ],
        ),
        f"A report on {REPORT_ROWS:,} answers: {report['wall']} s, {report['cpu']} CPU-seconds.",
    ]


def _heights(one: Seen) -> Iterator[str]:
    for statistic in STATISTICS:
        hits, trials = one.of(statistic)
        yield f"{100 * hits / trials:.0f} %"


def main() -> None:
    """Parse, measure, print."""
    parser = options(str(__doc__).splitlines()[0])
    parser.add_argument(
        "--repetitions",
        type=int,
        help="futures played for each scenario (default 200; 4 with --quick)",
    )
    arguments = parser.parse_args()
    repetitions = arguments.repetitions or (4 if arguments.quick else 200)
    result = measure(seed=arguments.seed, repetitions=repetitions, quick=arguments.quick)
    present(
        result,
        title="Drift",
        packages=("evidently", "numpy", "scipy", "tensorflow"),
        arguments=arguments,
    )


if __name__ == "__main__":
    main()
