"""Measures of the source code: lengths, long lines, import cycles, duplicates."""

from __future__ import annotations

import ast
import math
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

DUPLICATE_LINES = 6
_TRIVIAL = re.compile(r"\W*$|#|\"\"\"|return\b.{0,6}$|else:|try:")


@dataclass(frozen=True)
class Source:
    """One Python file. `module` is its dotted name, a package's `__init__` that of the package."""

    path: Path
    module: str
    text: str

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)


@dataclass(frozen=True)
class Spread:
    """Median, 90th percentile (nearest rank) and maximum of lengths in lines."""

    median: int
    p90: int
    max: int


def read_pyproject(root: Path) -> dict[str, Any]:
    """Return pyproject.toml as a mapping."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


def product_rooms(root: Path) -> list[str]:
    """Return the packages that are installed, without benchmarks and tests."""
    included = read_pyproject(root)["tool"]["setuptools"]["packages"]["find"]["include"]
    return [pattern.removesuffix("*") for pattern in included]


def read_sources(root: Path, rooms: Iterable[str], *, migrations: bool = False) -> list[Source]:
    """Read the Python files of the rooms, in order of path; the migrations only on request."""
    files = (path for room in rooms for path in (root / room).rglob("*.py"))
    paths = sorted(path.relative_to(root) for path in files)
    return [
        Source(path, module_name(path), (root / path).read_text(encoding="utf-8"))
        for path in paths
        if migrations or "versions" not in path.parts
    ]


def module_name(path: Path) -> str:
    """Return the dotted name of a file, given relative to the repository."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def spread(lengths: Sequence[int]) -> Spread:
    """Summarise at least one length."""
    ordered = sorted(lengths)
    ranks = (math.ceil(len(ordered) * share) - 1 for share in (0.5, 0.9, 1))
    return Spread(*(ordered[rank] for rank in ranks))


def function_lengths(source: Source) -> dict[str, int]:
    """Return lines per function, from `def` to the last line, by "path:line name"."""
    functions = (
        node
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return {
        f"{source.path}:{function.lineno} {function.name}": (function.end_lineno or function.lineno)
        - function.lineno
        + 1
        for function in functions
    }


def long_lines(source: Source, *, columns: int) -> list[str]:
    """Return "path:line" of every line that is longer."""
    return [
        f"{source.path}:{number}"
        for number, line in enumerate(source.lines, 1)
        if len(line) > columns
    ]


def import_cycles(sources: Sequence[Source]) -> list[list[str]]:
    """Return each group of modules that import one another when they are imported.

    Imports inside functions and under `if TYPE_CHECKING` close no cycle: they run later or never.
    """
    numbers = {source.module: number for number, source in enumerate(sources)}
    edges = [
        (numbers[source.module], numbers[target])
        for source in sources
        for target in imported_modules(source, known=numbers.keys())
    ]
    starts, ends = np.array(edges, dtype=int).reshape(-1, 2).T
    graph = csr_matrix((np.ones(len(edges)), (starts, ends)), shape=(len(sources), len(sources)))
    _, components = connected_components(graph, connection="strong")

    groups = defaultdict(list)
    for source, component in zip(sources, components, strict=True):
        groups[component].append(source.module)
    return [modules for modules in groups.values() if len(modules) > 1]


def imported_modules(source: Source, *, known: Iterable[str]) -> set[str]:
    """Return the other known modules that a file imports when it is imported."""
    modules = set(known)
    names = set()
    for node in _statements_at_import(source.tree.body):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= members if members <= modules else {*members, node.module}
    return (names & modules) - {source.module}


def _statements_at_import(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield statements that run at import, those inside blocks and classes too."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            continue
        inner = [child for child in ast.iter_child_nodes(statement) if isinstance(child, ast.stmt)]
        handlers = [line for handler in getattr(statement, "handlers", []) for line in handler.body]
        yield from _statements_at_import([*inner, *handlers])


def duplicates(sources: Sequence[Source], *, least: int = DUPLICATE_LINES) -> list[str]:
    """Return the pairs of places that share a run of `least` or more lines, each run once.

    Lines are compared without their indentation. Blank lines, comments, imports and brackets are
    left out first.
    """
    kept = [_compared_lines(source) for source in sources]
    places = defaultdict(list)
    for file, lines in enumerate(kept):
        for start in range(len(lines) - least + 1):
            window = tuple(text for _, text in lines[start : start + least])
            places[window].append((file, start))

    equal = {pair for starts in places.values() for pair in combinations(starts, 2)}
    firsts = [
        pair
        for pair in sorted(equal)
        if tuple((file, start - 1) for file, start in pair) not in equal
    ]
    return [
        " = ".join(f"{sources[file].path}:{kept[file][start][0]}" for file, start in pair)
        for pair in firsts
    ]


def _compared_lines(source: Source) -> list[tuple[int, str]]:
    imported = {
        number
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    numbered = ((number, line.strip()) for number, line in enumerate(source.lines, 1))
    return [
        (number, line)
        for number, line in numbered
        if number not in imported and not _TRIVIAL.match(line)
    ]
