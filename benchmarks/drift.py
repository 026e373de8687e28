"""Measures how often the drift rule is wrong and how often it detects drift, beside Evidently.

    python -m benchmarks.drift [--quick] [--json] [--seed N] [--repetitions 200]

Needs the demo's snapshot and models (`make data`, then `dvc repro`).
"""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import drift_champions as champions
from benchmarks import drift_world as world
from benchmarks.drift_outcomes import Outcomes
from benchmarks.drift_tables import REPORT_ROWS, bars_of, figures_of, tables_of
from benchmarks.drift_trials import (
    BUSY_HISTORIES,
    BUSY_WINDOW,
    CALM_WINDOWS,
    LARGE_WINDOW,
    SIZES,
    WINDOWS,
    DriftTrial,
    busy_trials,
    joined_trial,
    plain_trial,
    powers_of,
    untaught_trial,
)
from benchmarks.harness import Result, options, present, progress, timed
from monitoring.windows.evidently_report import Headline, describe, write_report

HISTORIES = 5
"""Histories of the newest days that references are drawn from: the stored one, and others."""
JOINED_EVERY = 4


@dataclass(frozen=True)
class Trials:
    """Every trial: `plain` by champion and window size, and the special ones."""

    plain: list[list[DriftTrial]]
    untaught: DriftTrial
    joined: DriftTrial | None
    busy: Sequence[DriftTrial]

    def play(self, number: int, *, seed: int) -> None:
        """Play one repetition; champions take turns."""
        future = seed * 1_000_000 + number
        arrivals = world.play(seed=future, rows=CALM_WINDOWS * max(SIZES))
        for trial in self.plain[number % len(self.plain)]:
            trial.run(arrivals, seed=future)

        taught = [row for row in arrivals if row.labels["chapter"] not in champions.UNSEEN]
        self.untaught.run(taught, seed=future)
        if self.joined is not None and number % JOINED_EVERY == 0:
            self.joined.run(arrivals, seed=future)
        for trial in self.busy[number % BUSY_HISTORIES :][:1]:
            busy = world.play(seed=future, rows=WINDOWS * BUSY_WINDOW, scale="large")
            trial.run(busy, seed=future)


def measure(*, seed: int, repetitions: int, quick: bool) -> Result:
    """Play every scenario before every champion; `seed` draws the traffic, not the champions."""
    vectors = champions.snapshot_vectors()
    stored = champions.stored_champion(vectors)
    replacements = world.draw_replacements(seed=seed * 1_000_003, rows=15_000 if quick else 80_000)
    outcomes: dict[int, dict[str, Outcomes]] = {size: {} for size in SIZES}
    trials = _trials(stored, vectors, replacements, outcomes, seed=seed, quick=quick)

    played = 0
    for number in _until_interrupted(repetitions):
        trials.play(number, seed=seed)
        played = number + 1

    report = time_report(stored)
    labels = f"{len(stored.heads.served.labels)} labels; {replacements.rare_labels} rare ones"
    references = f"{len(trials.plain)} references of about {len(stored.reference)} rows"
    repeated = f"{played} repetitions of up to {WINDOWS} windows"
    return Result(
        figures=figures_of(outcomes) | {"report_seconds": report},
        bars=bars_of(outcomes, report),
        tables=tables_of(outcomes, report, powers_of(stored)),
        input=f"{labels}; {repeated}; {references}; real embeddings",
    )


def _trials(
    stored: champions.WatchedChampion,
    vectors: champions.Vectors,
    replacements: world.Replacements,
    outcomes: dict[int, dict[str, Outcomes]],
    *,
    seed: int,
    quick: bool,
) -> Trials:
    others = [
        champions.with_other_history(stored, seed=seed * 1_000 + number)
        for number in range(1, 1 if quick else HISTORIES)
    ]
    plain = [
        [plain_trial(champion, size, replacements, outcomes[size]) for size in SIZES]
        for champion in (stored, *others)
    ]
    large = outcomes[LARGE_WINDOW]
    untaught = untaught_trial(vectors, replacements, large, quick=quick)
    if quick:
        return Trials(plain, untaught, None, [])
    joined = joined_trial(stored, replacements, large, seed=seed)
    busy = busy_trials(stored, outcomes.setdefault(BUSY_WINDOW, {}), seed=seed)
    return Trials(plain, untaught, joined, busy)


def _until_interrupted(repetitions: int) -> Iterator[int]:
    """Number the repetitions. After one Ctrl-C the current one is finished and is the last."""
    stop: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: stop.append(number))
    try:
        for number in range(repetitions):
            if stop:
                return
            progress(f"repetition {number + 1} of {repetitions}")
            yield number
    finally:
        signal.signal(signal.SIGINT, before)


def time_report(champion: champions.WatchedChampion) -> dict[str, float]:
    """Time one Evidently report on REPORT_ROWS answers, with its page and its workspace."""
    progress(f"a report on {REPORT_ROWS} answers")
    answers = champion.reference.sample(REPORT_ROWS, replace=True, random_state=1).reset_index(
        drop=True
    )
    headline = Headline(
        champions.KEY, "1", 1, datetime(2026, 2, 1, tzinfo=UTC), "steady", ("a benchmark",)
    )
    with tempfile.TemporaryDirectory() as folder, timed() as timing:
        current, reference = (
            describe(rows, novelty=champion.scorer.novelty(rows))
            for rows in (answers, champion.reference)
        )
        write_report(
            current,
            reference,
            headline=headline,
            file=Path(folder, "window.html"),
            workspace=Path(folder, "workspace"),
        )
    return {"wall": round(timing.wall, 1), "cpu": round(timing.cpu, 1)}


def main() -> None:
    """Parse, measure, print."""
    parser = options(str(__doc__).splitlines()[0])
    parser.add_argument(
        "--repetitions",
        type=int,
        help="futures to play per scenario (default 200; 4 with --quick)",
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
