"""Migrations and their test know every table."""

from __future__ import annotations

import ast
from pathlib import Path

TABLES = Path(__file__).parents[2] / "core" / "tables"


def test_every_module_of_tables_is_among_all_tables() -> None:
    imports = [
        node
        for node in ast.walk(ast.parse((TABLES / "all.py").read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
    ]
    modules = {alias.name for node in imports for alias in node.names} | {
        (node.module or "").rpartition(".")[2] for node in imports
    }
    names = {path.stem for path in TABLES.glob("*.py")} - {"__init__", "all"}
    assert names - modules == set()
