"""Rows out of the database: Perennial's extraction against pandas.read_sql, and the data checks on what came.

    python -m benchmarks.extraction [--quick] [--json]

A million joined rows of the demo source (five tables, PostgreSQL on a local socket), ordered. Each round is a process of its own;
seconds are taken inside it, imports left out; the peak is the kernel's, of the whole process. PostgreSQL's own work is in both walls.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness import Bar, Result, median, options, present, table, tell
from benchmarks.processes import Usage, measure
from core.settings import REPOSITORY

if TYPE_CHECKING:
    from benchmarks.places import (
        Place,  # it imports the whole workshop, which a contender's memory should not hold
    )

QUERY = REPOSITORY / "queries" / "diagnoses.sql"
LABELS = ("block", "chapter", "encounter_phase")
ROUNDS = 5


def perennial(url: str, folder: Path) -> Callable[[], int]:
    """Ordered, canonical, streamed to a file: the path of every retraining."""
    from pipelines.source.extract import extract
    from pipelines.source.readers import open_reader

    with open_reader(url):
        pass  # the driver is imported
    return lambda: (
        extract(
            QUERY.read_text(encoding="utf-8"),
            url=url,
            target=folder / "perennial.arrow",
            label_columns=LABELS,
        ).rows
    )


def pandas(url: str, folder: Path) -> Callable[[], int]:
    """The same rows in the same order as one frame; nothing is written."""
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
    """The process of one round: print its rows and seconds."""
    work = CONTENDERS[name](url, Path(folder))
    wall, cpu = time.perf_counter(), time.process_time()
    rows = work()
    seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    print(json.dumps({"rows": rows, **seconds, "peak_mb": _peak_mb()}))


def _peak_mb() -> float:
    """Of this process since its exec: what wait4 tells also holds the parent's memory from before it."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def measure_extraction(*, quick: bool) -> Result:
    """Both contenders in interleaved rounds, then the checks; the snapshot is the one that a retraining would take."""
    from benchmarks.places import open_place

    with open_place(scale="default" if quick else "large") as place:
        seen = _rounds(place, rounds=1 if quick else ROUNDS)
        rows = seen["perennial"][0][0]["rows"]
        checks = _check_seconds(place)
    result = Result(
        input=f"{rows:,} rows of queries/diagnoses.sql, demo source, PostgreSQL on a local socket"
    )
    _fill(result, seen, checks)
    return result


def _rounds(place: Place, *, rounds: int) -> dict[str, list[tuple[dict, Usage]]]:
    seen: dict[str, list[tuple[dict, Usage]]] = {name: [] for name in CONTENDERS}
    for number in range(rounds):
        for name in CONTENDERS if number % 2 == 0 else reversed(list(CONTENDERS)):
            tell(f"round {number + 1} of {rounds}: {name}")
            usage = measure(
                [
                    "-m",
                    "benchmarks.extraction",
                    "--contender",
                    name,
                    place.loop.source_url,
                    str(place.folder),
                ]
            )
            seen[name].append((json.loads(usage.output), usage))
    return seen


def _check_seconds(place: Place) -> Usage:
    """The stage `check` on a snapshot of all rows: reading, cleaning, Great Expectations, the page."""
    from flows.snapshot import write_snapshots
    from pipelines.source.demo import EPOCH

    tell("snapshot and checks")
    clone = place.settings.repository
    write_snapshots(place.loop, clone / "data", list(place.loop.params.classifiers), as_of=EPOCH)
    measure(["-m", "pipelines", "resolve"], environment=place.environment, cwd=clone)
    return measure(["-m", "pipelines", "check"], environment=place.environment, cwd=clone)


def _fill(result: Result, seen: Mapping[str, list[tuple[dict, Usage]]], checks: Usage) -> None:
    wall, cpu, peak = (
        {name: median(pick(one) for one in all_) for name, all_ in seen.items()} for pick in _PICKS
    )
    rows = seen["perennial"][0][0]["rows"]
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
        for name in seen
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


_PICKS: tuple[Callable[[tuple[dict, Usage]], float], ...] = (
    lambda one: one[0]["wall"],
    lambda one: one[0]["cpu"],
    lambda one: one[0]["peak_mb"],
)


def main() -> None:
    """Print the benchmark that the module describes."""
    parser = options("Rows out of the database against pandas.read_sql, and the data checks.")
    parser.add_argument(
        "--contender",
        nargs=3,
        metavar=("NAME", "URL", "FOLDER"),
        help="one round, called by the benchmark itself",
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
