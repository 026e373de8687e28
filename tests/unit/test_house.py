"""The measures of the source code: what each counts, and what it leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.house import type_errors
from benchmarks.source_code import (
    Source,
    duplicates,
    function_lengths,
    import_cycles,
    imported_modules,
    long_lines,
    module_name,
    product_rooms,
    read_pyproject,
    read_sources,
    spread,
)
from tests.architecture.test_map import ROOT


def source(module: str, text: str) -> Source:
    return Source(Path(f"{module.replace('.', '/')}.py"), module, text)


def test_lengths_are_summarised_by_nearest_rank() -> None:
    assert spread([5]) == spread([5, 5, 5])
    figures = spread(range(1, 11))
    assert (figures.median, figures.p90, figures.max) == (5, 9, 10)


def test_a_function_is_as_long_as_its_lines_from_def_on() -> None:
    first = "@cache\ndef first():\n    return 1\n\n\n"
    text = f"{first}class A:\n    async def second(\n        self,\n    ): ...\n"
    assert function_lengths(source("room.file", text)) == {
        "room/file.py:2 first": 2,
        "room/file.py:7 second": 3,
    }


def test_a_line_at_the_limit_is_not_long() -> None:
    assert long_lines(source("room.file", f"{'x' * 100}\n{'x' * 101}\n"), columns=100) == [
        "room/file.py:2"
    ]


def test_migrations_are_read_on_request() -> None:
    own, all_files = (read_sources(ROOT, ["core"], migrations=also) for also in (False, True))
    added = {source.path.parent for source in all_files} - {source.path.parent for source in own}
    assert added == {Path("core/migrations/versions")}


def test_a_package_has_the_name_of_its_folder() -> None:
    assert [module_name(Path(path)) for path in ("core/__init__.py", "core/logs.py")] == [
        "core",
        "core.logs",
    ]


@pytest.mark.parametrize(
    ("text", "modules"),
    [
        ("import a.b", {"a.b"}),
        ("from a.b import name", {"a.b"}),
        ("from a import b", {"a.b"}),
        ("from a import name", {"a"}),
        ("from a import b, name", {"a", "a.b"}),
        ("import elsewhere", set()),
        ("try:\n    import a\nexcept ImportError:\n    import a.b", {"a", "a.b"}),
        ("class A:\n    from a import b", {"a.b"}),
        ("def f():\n    import a", set()),
        ("if TYPE_CHECKING:\n    import a", set()),
        ("import c", set()),
    ],
)
def test_imports_are_those_that_run_at_import(text: str, modules: set[str]) -> None:
    assert imported_modules(source("c", text), known={"a", "a.b", "c"}) == modules


def test_a_cycle_is_found_through_any_number_of_modules() -> None:
    ring = [
        source("a", "import b"),
        source("b", "import c"),
        source("c", "import a"),
        source("d", "import a"),
    ]
    assert import_cycles(ring) == [["a", "b", "c"]]


def test_a_deferred_import_closes_no_cycle() -> None:
    assert import_cycles([source("a", "import b"), source("b", "def f():\n    import a")]) == []


RUN = "".join(f"value_{number} = compute({number})\n" for number in range(8))


def test_a_shared_run_is_one_duplicate_however_it_is_indented() -> None:
    indented = "def f():\n" + "".join(f"    {line}\n" for line in RUN.splitlines())
    assert duplicates([source("a", f"first = 1\n{RUN}"), source("b", indented)]) == [
        "a.py:2 = b.py:2"
    ]


def test_blank_lines_comments_and_imports_are_not_compared() -> None:
    spaced = RUN.replace("\n", "\n\n    # why\n")
    assert duplicates([source("a", RUN), source("b", spaced)]) == ["a.py:1 = b.py:1"]
    imports = "".join(f"import module_{number}\n" for number in range(8))
    assert duplicates([source("a", imports), source("b", imports)]) == []


def test_five_equal_lines_are_no_duplicate() -> None:
    five = "".join(RUN.splitlines(keepends=True)[:5])
    assert duplicates([source("a", five), source("b", five)]) == []


def test_typing_is_strict() -> None:
    assert read_pyproject(ROOT)["tool"]["mypy"]["strict"] is True


def test_errors_of_typing_are_found(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.mypy]\nfiles = ["untyped.py"]\nstrict = true\n', encoding="utf-8"
    )
    (tmp_path / "untyped.py").write_text("def f(x):\n    return x\n", encoding="utf-8")
    (error,) = type_errors(tmp_path)
    assert error.startswith("untyped.py:1: error:")


def test_coverage_measures_every_room() -> None:
    configured = read_pyproject(ROOT)["tool"]["coverage"]
    assert configured["run"]["source_pkgs"] == list(configured["paths"]) == product_rooms(ROOT)


def test_the_product_has_no_import_cycle() -> None:
    product = read_sources(ROOT, product_rooms(ROOT))
    assert len(product) > 150
    assert import_cycles(product) == []
