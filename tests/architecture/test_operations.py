"""docs/operations.md has every alarm and refusal; a test runs every command block of the docs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import core.errors
from bentos.embedder.contract import EmbedderStats
from bentos.http.metrics import ServiceCounts, ServiceState, render_metrics
from core.errors import PerennialError
from core.params.checks import CheckParams
from pipelines.checks import MENDS
from pipelines.stages import suite
from tests.architecture.test_map import ROOT, nodes
from tests.support.documented import ELSEWHERE, blocks, command
from tests.support.request_paths import Bench

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
DOCUMENTED = set(re.findall(r"`([a-z_]+)`", PAGE))


def calls(name: str) -> list[ast.Call]:
    return [
        node
        for _, node in nodes()
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
    ]


def test_every_error_is_documented() -> None:
    classes = [
        value
        for value in vars(core.errors).values()
        if isinstance(value, type) and issubclass(value, PerennialError)
    ]
    assert {cls.code for cls in classes} - DOCUMENTED == set()


def test_every_refusal_of_the_service_is_documented() -> None:
    codes = {
        call.args[1].value
        for call in calls("RequestRefused")
        if isinstance(call.args[1], ast.Constant)
    }
    assert len(codes) >= 7
    assert codes - DOCUMENTED == set()


def test_every_verdict_is_documented() -> None:
    kinds = {
        call.args[0].value
        for call in calls("Verdict")
        if call.args and isinstance(call.args[0], ast.Constant)
    }
    assert {"promote", "reject", "drift"} <= kinds
    assert kinds - DOCUMENTED == set()


def planned_checks() -> set[tuple[str, str]]:
    """Name and severity of every data check, as the code writes them."""
    checks = {(call.args[0], call.args[2]) for call in calls("Planned")} | {
        (call.args[0], call.args[3]) for call in calls("Check") if call.args
    }
    return {(text(name), text(severity)) for name, severity in checks}


def text(node: ast.expr) -> str:
    """A text, or a constant of the suite by its name; anything else is an error."""
    value = node.value if isinstance(node, ast.Constant) else getattr(suite, ast.unparse(node))
    assert isinstance(value, str)
    return value


def test_every_data_check_is_documented() -> None:
    rows = re.findall(
        r"^\| `([a-z_]+)` \| (critical|warning) \| \S.* \| \S.* \|$", PAGE, re.MULTILINE
    )
    assert len(rows) == len(set(rows)) > 15
    assert set(rows) == planned_checks()
    assert set(MENDS) <= {name for name, severity in rows if severity == "critical"}


def test_every_limit_of_the_data_checks_is_documented() -> None:
    for name, limit in CheckParams().model_dump().items():
        assert f"`{name}` ({limit:g})" in PAGE


def test_the_share_of_windows_that_warn_without_a_reason_is_the_measured_one() -> None:
    measured = re.search(
        r"ordinary windows alarmed, ([\d.]+ %)",
        (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8"),
    )
    assert measured
    row = next(line for line in PAGE.splitlines() if line.startswith("| `warning` |"))
    assert re.findall(r"[\d.]+ %", row) == [measured[1]]


def test_every_metric_is_documented(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    state = ServiceState(
        bench.answers,
        bench.heads,
        bench.counts,
        bench.feedback.counts,
        ServiceCounts(),
        bench.parts().retained,
        EmbedderStats(0, 0, 0, 0, 0),
    )
    text = render_metrics(state).decode()
    names = {
        name.removesuffix("_total") for name in re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)
    }
    assert len(names) >= 10
    assert names - DOCUMENTED == set()


def test_every_folder_of_the_home_is_documented() -> None:
    paths = {ast.unparse(node) for _, node in nodes() if isinstance(node, ast.BinOp)}
    names = {
        found[1]
        for path in paths
        if (found := re.fullmatch(r"(?:self|\w*settings)\.home / f?'([a-z]+)(?:\{.*\})?'", path))
    }
    assert names >= {"models", "journal", "caches", "postgres"}
    assert {name for name in names if f"`{name}/`" not in PAGE} == set()


def test_a_block_that_is_run_elsewhere_names_where() -> None:
    named = {
        (block.file, block.first): {command(line) for line in block.lines}
        for block in blocks()
        if block.elsewhere
    }
    assert {key: set(ways) for key, ways in ELSEWHERE.items()} == named
    for ways in ELSEWHERE.values():
        for file, text in ways.values():
            assert text in (ROOT / file).read_text(encoding="utf-8"), f"{file} no longer runs it"


def test_no_command_hides_in_a_block_of_another_language() -> None:
    """No test would run it. Calls of benchmarks are in test_documented_benchmarks.py."""
    commands = re.compile(
        r"^ *(\$ )?(\.venv/bin/|perennial |make |dvc |curl |git |python -m (?!benchmarks\.))",
        re.MULTILINE,
    )
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        shown = re.findall(
            r"^ *```(\w*)\n(.*?)^ *```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        )
        assert [
            text for language, text in shown if language != "sh" and commands.search(text)
        ] == [], f"{path.name}: call it `sh`"
