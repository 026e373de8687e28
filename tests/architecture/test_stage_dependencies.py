"""What a DVC stage imports is what its `deps` name: no stale output, no needless run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
CANNOT_CHANGE_AN_OUTPUT = {
    "core/errors.py": "a stage that raises has no output",
    "core/files.py": "how bytes reach the disk, and the layout of JSON, which readers ignore",
    "core/logs.py": "log lines are not an output",
    "pipelines/model/arrays.py": "names of types",
    "pipelines/model/silence.py": "drops what C++ libraries print",
}


def imported_names(tree: ast.Module) -> Iterator[str]:
    """Dotted names of everything imported, also inside functions, except under TYPE_CHECKING."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            waiting.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not followed"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
            yield str(node.module)
        waiting.extend(ast.iter_child_nodes(node))


@cache
def imported_files(path: str) -> frozenset[str]:
    """Files of this repository that the file at `path` imports, packages' `__init__` left out."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    candidates = {f"{name.replace('.', '/')}.py" for name in imported_names(tree)}
    return frozenset(name for name in candidates if (ROOT / name).is_file())


def closure(path: str) -> set[str]:
    reached: set[str] = set()
    waiting = [path]
    while waiting:
        current = waiting.pop()
        if current not in reached:
            reached.add(current)
            waiting.extend(imported_files(current))
    return reached


def code_deps(stage: str) -> list[str]:
    block = STAGES[stage].get("do", STAGES[stage])
    return [name for name in block["deps"] if name.endswith(".py")]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_code_that_it_imports(stage: str) -> None:
    imported = closure(f"pipelines/stages/{stage}.py") - set(CANNOT_CHANGE_AN_OUTPUT)
    named = code_deps(stage)
    missing = sorted(imported - set(named))
    superfluous = sorted(set(named) - imported)
    assert (missing, superfluous) == ([], [])
    assert named == sorted(set(named))


@pytest.mark.parametrize("stage", STAGES)
def test_every_other_file_dependency_exists_or_is_made(stage: str) -> None:
    block = STAGES[stage].get("do", STAGES[stage])
    absent = [
        name
        for name in block["deps"]
        if name.startswith(("core/", "pipelines/")) and not (ROOT / name).is_file()
    ]
    assert absent == []


def test_packages_hold_no_code() -> None:
    """Importing a module runs the `__init__` of its packages; these are not among the deps."""
    for package in ("core", "pipelines", "pipelines/model", "pipelines/source", "pipelines/stages"):
        tree = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
        assert all(isinstance(node, ast.Expr) for node in tree.body), package


def test_every_exception_is_needed() -> None:
    reached = set().union(*(closure(f"pipelines/stages/{stage}.py") for stage in STAGES))
    assert set(CANNOT_CHANGE_AN_OUTPUT) - reached == set()


def test_imports_are_found_wherever_they_stand() -> None:
    tree = ast.parse(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import hidden\n"
        "def run():\n    from core import errors\n    import core.logs\n"
    )
    names = set(imported_names(tree))
    assert {"core.errors", "core.logs", "core"} <= names
    assert "hidden" not in names
