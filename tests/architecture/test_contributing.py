"""CONTRIBUTING.md and SECURITY.md name files that exist; these hold what an instruction names."""

from __future__ import annotations

import re

import pytest

from benchmarks.house import COLUMNS, FILE_LINES, FUNCTION_LINES
from benchmarks.source_code import read_pyproject
from tests.architecture.test_map import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ITEMS = [
    re.sub(r"\s+", " ", item) for item in re.findall(r"^\d\. .*(?:\n   .*)*", PAGE, re.MULTILINE)
]
PATH = re.compile(r"[\w./-]+/|[\w./-]+\.(?:py|md|yaml|toml|lock)")


def tokens(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def paths(text: str) -> list[str]:
    return [token for token in tokens(text) if PATH.fullmatch(token)]


def text_of(name: str) -> str:
    """The text of a file, or of the Python files in a folder."""
    place = ROOT / name
    files = sorted(place.glob("*.py")) if place.is_dir() else [place]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def test_files_and_folders_exist() -> None:
    assert len(ITEMS) > 25
    pages = PAGE + (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    named = [name for name in paths(pages) if "/" in name]
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("item", ITEMS)
def test_an_instruction_names_what_its_files_hold(item: str) -> None:
    places = [name for name in paths(item) if "/" in name or (ROOT / name).exists()]
    names = {
        token
        for token in tokens(item)
        if re.fullmatch(r"_?[A-Za-z][\w.]*", token) and not PATH.fullmatch(token)
    }
    text = "\n".join(map(text_of, places))
    assert {name for name in names if name.rpartition(".")[2] not in text} == set()


def test_the_limits_are_those_that_are_measured() -> None:
    complexity = read_pyproject(ROOT)["tool"]["ruff"]["lint"]["mccabe"]["max-complexity"]
    assert f"{COLUMNS} columns" in PAGE
    assert f"Functions of at most {FUNCTION_LINES} lines and complexity {complexity}" in PAGE
    assert f"files of at most {FILE_LINES} lines" in PAGE
