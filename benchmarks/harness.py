"""What the benchmarks share: options, the machine, interleaved timing, bars, and the two ways to print.

A benchmark is `options`, its own measuring, and `present`:

    arguments = options("how fast rows leave the database").parse_args()
    present(measure(quick=arguments.quick, seed=arguments.seed), title="Extraction", packages=("pandas",), arguments=arguments)
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
    """A figure that was asked for: `value` may be at most `limit`, or at least, when `at_least`. None: not measured, not held."""

    name: str
    value: float | None
    limit: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        if self.value is None:
            return False
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def told(self) -> dict[str, Any]:
        return {"name": self.name, "value": self.value, "limit": self.limit, "holds": self.holds}


@dataclass
class Result:
    """What a benchmark found: `figures` for machines, `tables` (Markdown, see `table`) for people, a bar for every figure asked for."""

    figures: dict[str, Any] = field(default_factory=dict)
    bars: list[Bar] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    input: str = ""


@dataclass
class Timing:
    """Seconds of one stretch of work; `cpu` is that of this process and of its children that have ended."""

    wall: float = 0.0
    cpu: float = 0.0


def options(description: str) -> argparse.ArgumentParser:
    """Return the parser that every benchmark starts from: --quick, --json, --seed."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a smaller input, within a minute: shows that it runs, proves nothing",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object instead of tables"
    )
    parser.add_argument("--seed", type=int, default=1, help="draws the input (default 1)")
    return parser


def tell(line: str) -> None:
    """Say on stderr how far it is: stdout is for the result."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


@contextmanager
def timed() -> Iterator[Timing]:
    """Time the block; the Timing yielded is filled at its end."""
    timing, wall, cpu = Timing(), time.perf_counter(), _cpu_seconds()
    try:
        yield timing
    finally:
        timing.wall, timing.cpu = time.perf_counter() - wall, _cpu_seconds() - cpu


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def interleave(contenders: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, Timing]:
    """Call each contender once a round, every second round in reverse order; return the medians of wall and CPU seconds by name."""
    seen: dict[str, list[Timing]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name in list(contenders) if number % 2 == 0 else reversed(list(contenders)):
            tell(f"round {number + 1} of {rounds}: {name}")
            with timed() as timing:
                contenders[name]()
            seen[name].append(timing)
    return {
        name: Timing(median(one.wall for one in all_), median(one.cpu for one in all_))
        for name, all_ in seen.items()
    }


def median(values: Iterable[float]) -> float:
    """Return the median of at least one value."""
    return statistics.median(values)


def machine() -> str:
    """One line: processor, cores, memory, system, Python, and how busy it was when asked."""
    memory, busy = psutil.virtual_memory().total / 2**30, os.getloadavg()[0]
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{_processor()}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GB, {system}, load {busy:.1f}"


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
    """Print the result to stdout: one JSON object with --json, else Markdown. `packages` are told with their versions."""
    about: dict[str, Any] = {
        "machine": machine(),
        "versions": {name: version(name) for name in packages},
        "input": result.input,
    }
    about |= {"quick": arguments.quick, "seed": arguments.seed}
    if arguments.json:
        print(
            json.dumps(
                {"figures": about | result.figures, "bars": [bar.told() for bar in result.bars]},
                ensure_ascii=False,
            )
        )
        return
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    quick = " Quick run: proves nothing." if arguments.quick else ""
    print(
        f"## {title}\n\n{about['machine']}; {versions}.\nInput: {result.input}; seed {arguments.seed}.{quick}\n"
    )
    print("\n\n".join([*result.tables, _bar_table(result.bars)]))


def _bar_table(bars: Sequence[Bar]) -> str:
    rows = [
        (
            bar.name,
            _short(bar.value),
            ("at least " if bar.at_least else "at most ") + _short(bar.limit),
            _word(bar),
        )
        for bar in bars
    ]
    return table(("bar", "value", "limit", "holds"), rows)


def _word(bar: Bar) -> str:
    return "yes" if bar.holds else "**no**"


def _short(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4g}"
