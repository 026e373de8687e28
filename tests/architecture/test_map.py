"""The map is complete, files and functions stay short, nothing unsafe is imported."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = (
    "core",
    "pipelines",
    "bentos",
    "monitoring",
    "machine",
    "flows",
    "lineage",
    "operations",
    "console",
    "cli",
    "benchmarks",
)
SOURCES = sorted(
    path for room in ROOMS for path in (ROOT / room).rglob("*.py") if "versions" not in path.parts
)
UNSAFE = {"pickle", "joblib", "cloudpickle", "dill", "marshal", "shelve"}


@cache
def texts() -> dict[Path, str]:
    return {path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in SOURCES}


@cache
def trees() -> list[tuple[Path, ast.Module]]:
    return [(path, ast.parse(text)) for path, text in texts().items()]


@cache
def nodes() -> list[tuple[Path, ast.AST]]:
    """Every node of every file, walked once for all tests."""
    return [(path, node) for path, tree in trees() for node in ast.walk(tree)]


def test_every_file_is_on_the_map() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert [
        str(path)
        for path in SOURCES
        if path.name != "__init__.py" and not _is_on(page, path.relative_to(ROOT))
    ] == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_file_has_one_line_on_the_map_while_it_exists(room: str) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    first_cells = re.findall(r"^\| (.*?) \|", _section(page, room), re.MULTILINE)
    names = Counter(name for cell in first_cells for name in re.findall(r"`([\w/]+\.py)`", cell))
    assert [name for name, lines in names.items() if lines > 1] == []
    assert [name for name in names if not (ROOT / room / name).is_file()] == []


def _section(page: str, room: str) -> str:
    return page.partition(f"\n## {room}\n")[2].partition("\n## ")[0]


def _is_on(page: str, path: Path) -> bool:
    """Return whether the section of the file's room names the file."""
    room = path.parts[0]
    section = _section(page, room)
    name = path.name if "serving_peers" in path.parts else path.relative_to(room).as_posix()
    return f"`{name}`" in section


def test_files_and_functions_are_short() -> None:
    long_files = [str(path) for path, text in texts().items() if len(text.splitlines()) > 300]
    long_functions = [
        f"{path}:{node.name}"
        for path, node in nodes()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno > 40
    ]
    assert (long_files, long_functions) == ([], [])


def test_nothing_of_ours_reads_or_writes_pickles() -> None:
    found = [
        f"{path}:{node.lineno}"
        for path, node in nodes()
        if isinstance(node, ast.Import | ast.ImportFrom)
        and UNSAFE
        & {
            (getattr(node, "module", None) or "").split(".")[0],
            *(alias.name.split(".")[0] for alias in node.names),
        }
    ]
    assert found == []


def test_public_functions_say_what_they_do() -> None:
    silent = [
        f"{path}:{node.name}"
        for path, tree in trees()
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


@pytest.mark.parametrize(
    "word", ["/wo" + "rk/", "/ro" + "ot/", "files.python" + "hosted", "py" + "pi.org"]
)
def test_no_file_names_a_machine_or_a_registry(word: str) -> None:
    found = subprocess.run(
        ["git", "grep", "-l", "-F", word], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    assert found == []


def test_the_lock_is_hash_pinned() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [number for number, line in enumerate(lines) if line and line[0].isalnum()]
    assert len(pins) > 200
    assert [
        lines[number]
        for number in pins
        if "==" not in lines[number] or "--hash=sha256:" not in lines[number + 1]
    ] == []


def test_a_line_holds_one_thought() -> None:
    """No unrelated values in one assignment (swaps and steps may), no conditional in another."""
    packed = [
        f"{path}:{node.lineno}"
        for path, node in nodes()
        if isinstance(node, ast.Assign | ast.IfExp)
        and (_packs_values(node) or _nests_conditionals(node))
    ]
    assert packed == []


def _packs_values(node: ast.AST) -> bool:
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Tuple):
        return False
    target = node.targets[0]
    if not isinstance(target, ast.Tuple):
        return False
    assigned = {ast.unparse(name) for name in target.elts}
    used = {ast.unparse(part) for value in node.value.elts for part in ast.walk(value)}
    return not assigned & used


def _nests_conditionals(node: ast.AST) -> bool:
    if not isinstance(node, ast.IfExp):
        return False
    parts = (node.test, node.body, node.orelse)
    return any(isinstance(inner, ast.IfExp) for part in parts for inner in ast.walk(part))
