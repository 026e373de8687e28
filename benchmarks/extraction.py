"""Compares Perennial's extraction with pandas.read_sql, and times the data checks.

    python -m benchmarks.extraction [--quick] [--json]

Reads a million ordered rows, joined from five tables of the demo source (PostgreSQL on a local
socket). Each round is a process of its own, which measures its seconds without imports. The peak is
the kernel's figure for the whole process. PostgreSQL's own work is in both wall times.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness import Bar, Result, median, options, present, progress, table
from benchmarks.processes import Usage, measure
from core.settings import REPOSITORY

if TYPE_CHECKING:
    from benchmarks.places import Place

QUERY = REPOSITORY / "queries" / "diagnoses.sql"
LABELS = ("block", "chapter", "encounter_phase")
ROUNDS = 5
Turn = tuple[dict[str, float], Usage]  # what the process reported, and its usage


def perennial(url: str, folder: Path) -> Callable[[], int]:
    """Ordered, canonical and streamed to a file, as in every retraining."""
    from pipelines.source.extract import extract
    from pipelines.source.readers import open_reader

    with open_reader(url):
        pass  # imports the driver
    return lambda: (
        extract(
            QUERY.read_text(encoding="utf-8"),
            url=url,
            target=folder / "perennial.arrow",
            label_columns=LABELS,
        ).rows
    )


def pandas(url: str, folder: Path) -> Callable[[], int]:
    """The same rows in the same order, as one frame in memory."""
    import pandas as pd
    import sqlalchemy as sa

    from core.database import with_driver

    engine = sa.create_engine(with_driver(url, "psycopg"))
    with engine.connect():
        pass
    ordered = f"{QUERY.read_text(encoding='utf-8')} order by occurred_at, id"
    return lambda: len(pd.read_sql(ordered, engine))


CONTENDERS: Mapping[str, Callable[[str, Path], Callable[[], int]]] = {
    "perennial": perennial,
    "pandas": pandas,
}


def run_contender(name: str, url: str, folder: str) -> None:
    """Run one round in this process; print its rows and seconds."""
    work = CONTENDERS[name](url, Path(folder))
    wall = time.perf_counter()
    cpu = time.process_time()
    rows = work()
    seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    print(json.dumps({"rows": rows, **seconds, "peak_mb": _peak_mb()}))


def _peak_mb() -> float:
    """The peak since the exec of this process; the peak of wait4 includes the parent's memory."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def measure_extraction(*, quick: bool) -> Result:
    """Measure both contenders in interleaved rounds, then the checks on a retraining's snapshot."""
    from benchmarks.places import open_place  # not at the top: its imports would count as memory

    with open_place(scale="default" if quick else "large") as place:
        turns = _rounds(place, rounds=1 if quick else ROUNDS)
        rows = turns["perennial"][0][0]["rows"]
        checks = _check_seconds(place)
    result = Result(
        input=f"{rows:,} rows of queries/diagnoses.sql, demo source, PostgreSQL on a local socket"
    )
    _fill(result, turns, checks)
    return result


def _rounds(place: Place, *, rounds: int) -> dict[str, list[Turn]]:
    turns: dict[str, list[Turn]] = {name: [] for name in CONTENDERS}
    for number in range(rounds):
        for name in CONTENDERS if number % 2 == 0 else reversed(list(CONTENDERS)):
            progress(f"round {number + 1} of {rounds}: {name}")
            contender = ["--contender", name, place.loop.source_url, str(place.folder)]
            usage = measure(["-m", "benchmarks.extraction", *contender])
            turns[name].append((json.loads(usage.output), usage))
    return turns


def _check_seconds(place: Place) -> Usage:
    """Time the stage `check` on a snapshot of all rows, with reading, cleaning and its page."""
    from flows.snapshot import write_snapshots
    from pipelines.source.practice import EPOCH

    progress("snapshot and checks")
    clone = place.settings.repository
    write_snapshots(place.loop, clone / "data", list(place.loop.params.classifiers), as_of=EPOCH)
    measure(["-m", "pipelines", "resolve"], environment=place.environment, cwd=clone)
    return measure(["-m", "pipelines", "check"], environment=place.environment, cwd=clone)


def _fill(result: Result, turns: Mapping[str, list[Turn]], checks: Usage) -> None:
    wall, cpu, peak = (_medians(turns, key) for key in ("wall", "cpu", "peak_mb"))
    rows = turns["perennial"][0][0]["rows"]
    result.figures = {
        "rows": rows,
        "wall": wall,
        "cpu": cpu,
        "peak_mb": peak,
        "checks": {"wall": checks.wall, "cpu": checks.cpu},
    }
    lines = [
        (
            name,
            f"{rows / wall[name]:,.0f}",
            f"{wall[name]:.2f}",
            f"{cpu[name]:.2f}",
            f"{peak[name]:.0f}",
        )
        for name in turns
    ]
    result.tables = [table(("", "rows/s", "wall s", "CPU s of the client", "peak MB"), lines)]
    result.bars = [
        Bar(
            "rows per second, times pandas.read_sql",
            wall["pandas"] / wall["perennial"],
            5,
            at_least=True,
        ),
        Bar("peak MB of the extraction", peak["perennial"], 400),
        Bar("seconds of the checks", checks.wall, 30),
    ]


def _medians(turns: Mapping[str, list[Turn]], key: str) -> dict[str, float]:
    return {name: median(report[key] for report, _ in rows) for name, rows in turns.items()}


def main() -> None:
    """Measure and print."""
    parser = options("Compare extraction with pandas.read_sql, and time the data checks.")
    parser.add_argument(
        "--contender",
        nargs=3,
        metavar=("NAME", "URL", "FOLDER"),
        help="run one round; the benchmark calls itself with this option",
    )
    arguments = parser.parse_args()
    if arguments.contender:
        run_contender(*arguments.contender)
        return
    result = measure_extraction(quick=arguments.quick)
    present(
        result,
        title="Extraction",
        packages=("adbc-driver-postgresql", "pyarrow", "pandas", "great-expectations"),
        arguments=arguments,
    )


if __name__ == "__main__":
    main()
