"""Words that names of the product and the benchmarks avoid: they hide what a thing holds."""

from __future__ import annotations

import ast

import pytest

from tests.architecture.test_map import SOURCES, nodes, texts

VAGUE = {"asked", "came", "found", "mine", "one", "said", "told"}
PUNS = {"children", "kept", "lifeline", "misses", "normals", "patience", "quiet", "surroundings"}
"""Retired names of modules and classes; a variable may hold the rows that are kept."""
PRINTED_FIELDS = {"found"}
"""Of the JSON that `perennial doctor` and `perennial suspects` print."""


def test_no_class_function_parameter_or_variable_has_a_vague_name() -> None:
    fields = {id(target) for _, node in nodes() for target in _printed_fields(node)}
    vague = [
        f"{path}: {name}"
        for path, node in nodes()
        if id(node) not in fields
        for name in _named(node)
        if name.strip("_").lower() in VAGUE
    ]
    assert vague == []


def test_no_module_or_class_has_a_retired_name() -> None:
    modules = [path.stem for path in SOURCES]
    classes = [node.name for _, node in nodes() if isinstance(node, ast.ClassDef)]
    named = {name.strip("_").lower() for name in [*modules, *classes]}
    assert named & (VAGUE | PUNS) == set()
    assert len(texts()) > 300


@pytest.mark.parametrize(
    "source",
    [
        *("told = 1", "told: int = 1", "for _, told in []: pass", "[told for told in []]"),
        *("def told(): pass", "def f(told): pass", "class Told: pass", "self.told = 1"),
        *("import f as told", "with f() as told: pass", "(told := 1)", "lambda told: told"),
    ],
)
def test_every_kind_of_name_is_seen(source: str) -> None:
    names = [name for node in ast.walk(ast.parse(source)) for name in _named(node)]
    assert "told" in [name.lower() for name in names]


def _named(node: ast.AST) -> tuple[str, ...]:
    """Return the name that a node gives; `came` may be handed on to an error."""
    match node:
        case ast.ClassDef(name) | ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
            return (name,)
        case (
            ast.Name(name, ast.Store()) | ast.alias(asname=str(name)) | ast.MatchAs(name=str(name))
        ):
            return (name,)
        case ast.ExceptHandler(name=str(name)):
            return (name,)
        case ast.arg(name) | ast.Attribute(attr=name, ctx=ast.Store()) if name != "came":
            return (name,)
        case _:
            return ()


def _printed_fields(node: ast.AST) -> list[ast.expr]:
    if not isinstance(node, ast.ClassDef):
        return []
    fields = [statement.target for statement in node.body if isinstance(statement, ast.AnnAssign)]
    return [name for name in fields if isinstance(name, ast.Name) and name.id in PRINTED_FIELDS]
