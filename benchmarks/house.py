"""The house in figures: lengths, long lines, import cycles, duplicates, types, coverage.

    python -m benchmarks.house [--quick] [--json]

`CONTRIBUTING.md` has the table. Stderr names each place over a limit. `--quick` leaves mypy out.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path

from benchmarks.harness import Bar, Result, options, present, progress, table
from benchmarks.source_code import (
    Source,
    duplicates,
    function_lengths,
    import_cycles,
    long_lines,
    product_rooms,
    read_pyproject,
    read_sources,
    spread,
)
from core.errors import ProcessFailed
from core.settings import REPOSITORY

COLUMNS = 100
FILE_LINES = 300
FUNCTION_LINES = 40
COVERAGE_TOTAL = Path("build/coverage/total.txt")
"""Percent, written by `make coverage`."""


def measure(*, quick: bool) -> Result:
    """Measure the product's rooms; long lines in migrations, benchmarks and tests, too."""
    rooms = product_rooms(REPOSITORY)
    product = read_sources(REPOSITORY, rooms)
    everything = read_sources(REPOSITORY, [*rooms, "benchmarks", "tests"], migrations=True)

    functions = {
        place: lines for source in product for place, lines in function_lengths(source).items()
    }
    files = {str(source.path): len(source.lines) for source in product}
    over = {
        f"functions over {FUNCTION_LINES} lines": _longer(functions, FUNCTION_LINES),
        f"files over {FILE_LINES} lines": _longer(files, FILE_LINES),
        f"lines over {COLUMNS} columns": _long_lines(everything),
        "import cycles": [" - ".join(modules) for modules in import_cycles(product)],
        "duplicates of six lines or more": duplicates(product),
    }
    if not quick:
        over["errors of mypy, strict"] = type_errors(REPOSITORY)
    for name, places in over.items():
        for place in places:
            progress(f"{name}: {place}")

    lengths = {"function": spread(list(functions.values())), "file": spread(list(files.values()))}
    rows = [(f"lines per {what}", *astuple(figures)) for what, figures in lengths.items()]
    total = f"{len(files)} files, {sum(files.values()):,} lines and {len(functions)} functions"
    return Result(
        figures={f"{name}_lines": astuple(figures) for name, figures in lengths.items()},
        bars=[*(Bar(name, len(places), 0) for name, places in over.items()), _coverage(REPOSITORY)],
        tables=[table(("measure", "median", "p90", "max"), rows)],
        input=f"{total} in {', '.join(rooms)}",
    )


def _longer(lengths: dict[str, int], limit: int) -> list[str]:
    return [f"{place}, {lines} lines" for place, lines in lengths.items() if lines > limit]


def _long_lines(sources: list[Source]) -> list[str]:
    return [place for source in sources for place in long_lines(source, columns=COLUMNS)]


def type_errors(root: Path) -> list[str]:
    """Return the errors that mypy reports; raise `ProcessFailed` when mypy itself fails."""
    command = [sys.executable, "-m", "mypy", "--no-error-summary"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise ProcessFailed(
            "a report of mypy",
            came=(done.stderr or done.stdout).strip()[-300:],
            do="run `make types`",
        )
    return [line for line in done.stdout.splitlines() if re.search(r": error: ", line)]


def _coverage(root: Path) -> Bar:
    floor = read_pyproject(root)["tool"]["coverage"]["report"]["fail_under"]
    total = root / COVERAGE_TOTAL
    measured = float(total.read_text(encoding="utf-8")) if total.is_file() else None
    return Bar("branch coverage, percent", measured, floor, at_least=True)


if __name__ == "__main__":
    arguments = options("the house in figures").parse_args()
    present(
        measure(quick=arguments.quick), title="The house", packages=("mypy",), arguments=arguments
    )
