"""The glossary matches the code, and the docs use its terms instead of synonyms."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.architecture.test_map import ROOMS, ROOT, nodes

GLOSSARY = ROOT / "docs" / "glossary.md"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PRODUCT = set(ROOMS) - {"benchmarks"}
ROW = re.compile(r"^\| (?P<term>[^|]+) \| (?P<meaning>[^|]+) \| (?P<code>[^|]+) \|$")
FORBIDDEN_SYNONYMS = {
    "champion": ("master model", "production model", "live model", "incumbent"),
    "candidate": ("challenger", "contestant"),
    "head": ("classification layer", "output layer"),
    "embedder": ("sentence encoder", "text encoder", "vectorizer", "vectoriser"),
    "phrase": ("utterance",),
    "feedback": ("ground truth",),
    "inference": ("prediction log", "prediction row"),
    "journal": ("write-ahead log", "spool file"),
    "heartbeat": ("lifeline", "watchdog"),
    "shadow": ("dark launch",),
    "canary": ("A/B test",),
    "reference window": ("baseline window",),
}


def rows() -> list[tuple[str, str, str]]:
    """Term, meaning and code of every line of the glossary's tables, without the headings."""
    matches = [ROW.match(line) for line in GLOSSARY.read_text(encoding="utf-8").splitlines()]
    cells = [(match["term"], match["meaning"], match["code"]) for match in matches if match]
    return [row for row in cells if row[0] != "term"]


@cache
def identifiers() -> frozenset[str]:
    """Every name that the product code defines, reads, or passes as a keyword."""
    return frozenset(
        name for path, node in nodes() if path.parts[0] in PRODUCT for name in names_of(node)
    )


def names_of(node: ast.AST) -> tuple[str, ...]:
    match node:
        case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
            return (name,)
        case ast.Name(name) | ast.Attribute(attr=name):
            return (name,)
        case ast.arg(name) | ast.keyword(str(name)):
            return (name,)
        case _:
            return ()


def test_every_line_of_a_table_is_read() -> None:
    lines = GLOSSARY.read_text(encoding="utf-8").splitlines()
    tables = [line for line in lines if line.startswith("|") and not line.startswith("|---")]
    headings = tables.count("| term | meaning | in code |")
    assert len(rows()) == len(tables) - headings
    assert len(rows()) > 30


def test_no_term_comes_twice() -> None:
    terms = [term.casefold() for term, _, _ in rows()]
    assert sorted(set(terms)) == sorted(terms)


def test_terms_are_sorted_within_their_group() -> None:
    for group in GLOSSARY.read_text(encoding="utf-8").split("\n## ")[1:]:
        matches = [ROW.match(line) for line in group.splitlines()]
        terms = [match["term"].casefold() for match in matches if match][1:]
        assert terms == sorted(terms)


@pytest.mark.parametrize(("term", "code"), [(term, code) for term, _, code in rows()])
def test_the_code_carries_the_term(term: str, code: str) -> None:
    named = re.findall(r"`([^`]+)`", code)
    assert named, f"{term}: name an identifier in backticks"
    assert [name for name in named if name not in identifiers()] == []


def test_a_name_that_is_not_in_the_code_is_found() -> None:
    assert "MasterModel" not in identifiers()


@pytest.mark.parametrize("concept", FORBIDDEN_SYNONYMS)
def test_forbidden_synonyms_belong_to_a_term(concept: str) -> None:
    assert concept in {term for term, _, _ in rows()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_use_the_terms_of_the_glossary(page: Path) -> None:
    text = " ".join(page.read_text(encoding="utf-8").split())
    used = {
        synonym: concept
        for concept, synonyms in FORBIDDEN_SYNONYMS.items()
        for synonym in synonyms
        if re.search(rf"\b{re.escape(synonym)}s?\b", text, re.IGNORECASE)
    }
    assert used == {}
