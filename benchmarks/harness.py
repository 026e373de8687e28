"""Shared parts of the benchmarks: options, machine, interleaved timing, bars and printing.

A benchmark parses `options`, measures, and calls `present`:

    arguments = options("how fast rows leave the database").parse_args()
    result = measure(quick=arguments.quick, seed=arguments.seed)
    present(result, title="Extraction", packages=("pandas",), arguments=arguments)
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import psutil


@dataclass(frozen=True)
class Bar:
    """A figure with a target: at most `limit`, or at least `limit` when `at_least` is true.

    A `value` of None was not measured, and does not hold.
    """

    name: str
    value: float | None
    limit: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        if self.value is None:
            return False
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "value": self.value, "limit": self.limit, "holds": self.holds}


@dataclass
class Result:
    """A result: `figures` for machines, `tables` (Markdown) for people, and bars."""

    figures: dict[str, Any] = field(default_factory=dict)
    bars: list[Bar] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    input: str = ""


@dataclass
class Timing:
    """Seconds of one piece of work; `cpu` covers this process and its children that have ended."""

    wall: float = 0.0
    cpu: float = 0.0


def options(description: str) -> argparse.ArgumentParser:
    """Return the parser with the options of every benchmark: --quick, --json, --seed."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="use a smaller input: shows in about a minute that it runs, proves nothing",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object instead of tables"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the input (default 1)")
    return parser


def progress(line: str) -> None:
    """Report progress on standard error; standard output is for the result."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


@contextmanager
def timed() -> Iterator[Timing]:
    """Time the block; the yielded Timing is filled at its end."""
    timing = Timing()
    wall = time.perf_counter()
    cpu = _cpu_seconds()
    try:
        yield timing
    finally:
        timing.wall = time.perf_counter() - wall
        timing.cpu = _cpu_seconds() - cpu


def _cpu_seconds() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def interleave(contenders: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, Timing]:
    """Call each contender once per round; return the median wall and CPU seconds by name.

    Every second round runs in reverse order.
    """
    timings: dict[str, list[Timing]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name in list(contenders) if number % 2 == 0 else reversed(list(contenders)):
            progress(f"round {number + 1} of {rounds}: {name}")
            with timed() as timing:
                contenders[name]()
            timings[name].append(timing)
    return {
        name: Timing(median(row.wall for row in rows), median(row.cpu for row in rows))
        for name, rows in timings.items()
    }


def median(values: Iterable[float]) -> float:
    """Return the median of at least one value."""
    return statistics.median(values)


def machine() -> str:
    """Describe the machine: processor, cores, memory, system, Python, and its current load."""
    cores = len(os.sched_getaffinity(0))
    memory = psutil.virtual_memory().total / 2**30
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    load = os.getloadavg()[0]
    return f"{_processor()}, {cores} cores, {memory:.0f} GB, {system}, load {load:.1f}"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(
                line.partition(":")[2].strip() for line in lines if line.startswith("model name")
            )
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def present(
    result: Result, *, title: str, packages: Sequence[str], arguments: argparse.Namespace
) -> None:
    """Print the result, with the versions of `packages`, as Markdown or as one JSON object."""
    about: dict[str, Any] = {
        "machine": machine(),
        "versions": {name: version(name) for name in packages},
        "input": result.input,
        "quick": arguments.quick,
        "seed": arguments.seed,
    }
    if arguments.json:
        bars = [bar.as_json() for bar in result.bars]
        print(json.dumps({"figures": about | result.figures, "bars": bars}, ensure_ascii=False))
        return

    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    quick = " Quick run: proves nothing." if arguments.quick else ""
    print(f"## {title}\n\n{about['machine']}; {versions}.")
    print(f"Input: {result.input}; seed {arguments.seed}.{quick}\n")
    tables = list(result.tables)
    if result.bars:
        tables.append(_bar_table(result.bars))
    print("\n\n".join(tables))


def _bar_table(bars: Sequence[Bar]) -> str:
    return table(("bar", "value", "limit", "holds"), map(_bar_row, bars))


def _bar_row(bar: Bar) -> tuple[str, str, str, str]:
    limit = f"{'at least' if bar.at_least else 'at most'} {_short(bar.limit)}"
    return bar.name, _short(bar.value), limit, "yes" if bar.holds else "**no**"


def _short(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4g}"
