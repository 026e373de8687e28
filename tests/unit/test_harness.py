import json
import subprocess
import sys

import pytest

from benchmarks.harness import Bar, Result, interleave, options, present, table, timed


@pytest.mark.parametrize(
    ("bar", "holds"),
    [
        (Bar("a", 5, 5), True),
        (Bar("a", 5.1, 5), False),
        (Bar("a", 5, 5, at_least=True), True),
        (Bar("a", 4.9, 5, at_least=True), False),
        (Bar("a", None, 5), False),
        (Bar("a", None, 5, at_least=True), False),
    ],
)
def test_a_bar_holds_at_its_limit_and_never_unmeasured(bar: Bar, holds: bool) -> None:
    assert bar.holds is holds


def test_contenders_take_turns() -> None:
    turns: list[str] = []
    interleave(
        {"ours": lambda: turns.append("ours"), "peer": lambda: turns.append("peer")}, rounds=3
    )
    assert turns == ["ours", "peer", "peer", "ours", "ours", "peer"]


def test_cpu_seconds_hold_those_of_children() -> None:
    work = "import time\nwhile time.process_time() < 0.3: pass"
    with timed() as timing:
        subprocess.run([sys.executable, "-c", work], check=True)
    assert timing.cpu >= 0.3


def test_json_is_one_object_of_figures_and_bars(capsys: pytest.CaptureFixture[str]) -> None:
    result = Result({"rows": 3}, [Bar("seconds", 2.0, 1.0)], input="three rows")
    arguments = options("x").parse_args(["--json", "--seed", "4"])
    present(result, title="T", packages=("numpy",), arguments=arguments)
    printed = json.loads(capsys.readouterr().out)
    assert printed["bars"] == [{"name": "seconds", "value": 2.0, "limit": 1.0, "holds": False}]
    assert (
        printed["figures"]["rows"],
        printed["figures"]["seed"],
        printed["figures"]["input"],
    ) == (
        3,
        4,
        "three rows",
    )


def test_tables_name_the_bars_that_miss(capsys: pytest.CaptureFixture[str]) -> None:
    result = Result(
        tables=[table(("who", "s"), [("ours", 1)])],
        bars=[Bar("seconds", 2.0, 1.0), Bar("rows", 9, 5, at_least=True)],
    )
    present(result, title="T", packages=("numpy",), arguments=options("x").parse_args([]))
    printed = capsys.readouterr().out
    assert "| ours | 1 |" in printed
    assert "| seconds | 2 | at most 1 | **no** |" in printed
    assert "| rows | 9 | at least 5 | yes |" in printed
