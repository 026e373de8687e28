"""Measures the time of a retraining, stage by stage.

    python -m benchmarks.loop [--quick] [--json] [--only default|large|many]

Three parts: a first retraining, one after one per cent of new rows, and one of 21 classifiers.
Each is `perennial retrain` on the demo source, in a clone and a home of its own. The seconds of
every task and every DVC stage come from the log. The stages of one classifier add up to `train
classifiers`, apart from DVC's own time; those of several run at once.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import psycopg

from benchmarks.harness import Bar, Result, median, options, present, progress, table, timed
from benchmarks.places import Place, open_place
from benchmarks.processes import measure
from pipelines.model.text import clean_phrase
from pipelines.source.practice import Scale

TASKS = (
    "take snapshot", "check snapshot", "train classifiers", "publish lock",
    "compare with champion", "register candidate", "decide and promote", "package",
)  # fmt: skip
NEW_SHARE = 0.01
MANY_SECONDS = 137.5
"""Half of what 21 classifiers took when their stages ran one after the other."""
_NEW_ROWS = """
with drawn as (select * from diagnosis order by md5(id::text) limit %(rows)s),
     base as (select max(id) as diagnosis, (select max(id) from encounter) as encounter
              from diagnosis),
     last as (select max(occurred_at) as moment from encounter),
     visits as (insert into encounter
                select base.encounter + row_number() over (order by drawn.id), last.moment, 0,
                       'late'
                from drawn, base, last returning id)
insert into diagnosis
select base.diagnosis + row_number() over (order by drawn.id),
       base.encounter + row_number() over (order by drawn.id),
       drawn.phrase || case when drawn.id %% 2 = 0 then ' review' else '' end,
       drawn.term_id, drawn.code
from drawn, base
"""
"""Every other new row has a phrase that no row had before."""


@dataclass
class Run:
    """One retraining: seconds by task or stage, the total, embeddings computed and reused."""

    wall: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    embedded: int = 0
    reused: int = 0


def retrain(place: Place) -> Run:
    """Run `perennial retrain` for every classifier. Raises `CalledProcessError` with its log."""
    run = Run()
    command = [sys.executable, "-m", "cli.app", "retrain", "--verbose", "--json"]
    with timed() as whole:
        done = subprocess.run(
            command,
            cwd=place.settings.repository,
            env=place.environment,
            capture_output=True,
            text=True,
        )
    if done.returncode not in (0, 3):  # 3: a negative verdict, which is a result
        raise subprocess.CalledProcessError(
            done.returncode, command, done.stdout, done.stderr[-4000:]
        )
    run.wall = whole.wall
    for line in _events(done.stderr.splitlines()):
        _add(run, line)
    return run


def _events(lines: Iterable[str]) -> Iterable[Mapping[str, Any]]:
    for line in lines:
        if line.startswith("{"):
            try:
                yield json.loads(line)
            except ValueError:
                continue


def _add(run: Run, line: Mapping[str, Any]) -> None:
    event = str(line.get("event", ""))
    if event == "embed" and "new" in line:
        run.embedded = line["new"]
        run.reused = line["reused"]
    if line.get("state") == "end" and (event in TASKS or event.startswith("stage ")):
        run.seconds[event] = round(run.seconds.get(event, 0.0) + line["seconds"], 2)


def add_rows(place: Place, share: float) -> tuple[int, int]:
    """Add a share of new rows to the source; return the numbers of rows and of new phrases."""
    with psycopg.connect(place.loop.source_url) as connection:
        count = connection.execute("select count(*) from diagnosis").fetchone()
        before = _cleaned(connection)
        rows = round(share * (count[0] if count else 0))
        connection.execute(_NEW_ROWS, {"rows": rows})
        return rows, len(_cleaned(connection) - before)


def _cleaned(connection: psycopg.Connection) -> set[str]:
    return {
        clean_phrase(row[0]) for row in connection.execute("select distinct phrase from diagnosis")
    }


def measure_scale(scale: Scale, result: Result) -> None:
    """Measure a first retraining, and one after one per cent of new rows."""
    with open_place(scale=scale) as place:
        progress(f"{scale}: first retraining")
        first = retrain(place)
        rows, unseen = add_rows(place, NEW_SHARE)
        progress(f"{scale}: retraining after {rows} new rows")
        second = retrain(place)
    result.figures[scale] = {
        "first": asdict(first),
        "second": asdict(second),
        "new_rows": rows,
        "new_phrases": unseen,
    }
    result.tables.append(_stage_table(scale, first, second))
    per_phrase = second.embedded / max(unseen, 1)
    name = f"{scale}: embeddings computed after 1 % new rows, per new phrase"
    result.bars.append(Bar(name, per_phrase, 1.0))


def _stage_table(scale: str, first: Run, second: Run) -> str:
    names = [
        name for task in TASKS for name in (task, *(_STAGES.get(task, ()))) if name in first.seconds
    ]
    lines: list[tuple[object, ...]] = [
        (_indented(name), first.seconds[name], second.seconds.get(name, 0.0)) for name in names
    ]
    lines.append(("the whole command", round(first.wall, 1), round(second.wall, 1)))
    embedded = [f"{run.embedded} / {run.reused}" for run in (first, second)]
    lines.append(("embeddings computed / reused", *embedded))
    return table((f"{scale}, seconds", "first", "1 % new rows"), lines)


_STAGES: Mapping[str, Sequence[str]] = {
    "check snapshot": ("stage resolve", "stage check"),
    "train classifiers": (
        "stage embedder",
        "stage embed",
        "stage split",
        "stage train",
        "stage evaluate",
        "stage compare",
        "stage errors",
    ),
}


def _indented(name: str) -> str:
    return f"&nbsp;&nbsp;{name.removeprefix('stage ')}" if name.startswith("stage ") else name


def measure_many(scale: Scale, result: Result) -> None:
    """Measure 21 classifiers with one embedding pass, and `dvc repro` with nothing to do."""
    with open_place(scale=scale, params="params-21.yaml") as place:
        classifiers = len(place.loop.params.classifiers)
        progress(f"{classifiers} classifiers: retraining")
        run = retrain(place)
        idle = _idle_repro(place)
    result.figures["many"] = {
        "classifiers": classifiers,
        "wall": run.wall,
        "seconds": run.seconds,
        "idle_repro": idle,
    }
    lines = [*run.seconds.items(), ("the whole command", round(run.wall, 1))]
    result.tables.append(table((f"{classifiers} classifiers, {scale}", "seconds"), lines))
    name = f"seconds of a `dvc repro` with nothing to do, {classifiers} classifiers"
    result.bars.append(Bar(name, idle, 10))
    name = f"seconds of a retraining of {classifiers} classifiers"
    result.bars.append(Bar(name, run.wall, MANY_SECONDS))


def _idle_repro(place: Place) -> float:
    """Check out the retraining's tag and run DVC three times; return the median wall seconds."""
    clone = place.settings.repository
    [tag] = subprocess.run(
        ["git", "tag", "--list", "retrain-*"], cwd=clone, capture_output=True, text=True, check=True
    ).stdout.split()
    subprocess.run(["git", "checkout", "--quiet", "--force", tag], cwd=clone, check=True)
    environment = {**place.environment, "DVC_SITE_CACHE_DIR": str(clone / ".dvc" / "tmp")}
    subprocess.run(
        [sys.executable, "-m", "dvc", "checkout", "--quiet"], cwd=clone, env=environment, check=True
    )
    progress("dvc repro, nothing to do")
    return median(
        measure(["-m", "dvc", "repro"], environment=environment, cwd=clone).wall for _ in range(3)
    )


def main() -> None:
    """Measure and print."""
    parser = options("Measure the time of a retraining, stage by stage.")
    parser.add_argument(
        "--only",
        choices=("default", "large", "many"),
        help="run one of the three parts; each takes minutes",
    )
    arguments = parser.parse_args()
    scales: tuple[Scale, ...] = ("small",) if arguments.quick else ("default", "large")
    result = Result(input="demo source, params.yaml (three classifiers) and params-21.yaml")
    for scale in scales:
        if arguments.only in (None, scale):
            measure_scale(scale, result)
    # The small source has too few rows for 21 classifiers.
    if arguments.only == "many" or (arguments.only is None and not arguments.quick):
        measure_many("default", result)
    present(
        result,
        title="The loop",
        packages=("prefect", "dvc", "tensorflow", "scikit-learn", "mlflow"),
        arguments=arguments,
    )


if __name__ == "__main__":
    main()
