"""The verdict of the data checks, the gate that reads it, and the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import DataCheckFailed
from pipelines.checks import Check, judge, refusals, require_checked, write_result
from pipelines.stages.check_page import render_page

FACTS = {
    "dataset": "notes",
    "rows": 1200,
    "as_of": "2026-01-01T00:00:00+00:00",
    "query": "queries/notes.sql",
    "logical_hash": "ab" * 32,
}


def check(severity="critical", *, passed=False, **changes) -> Check:
    defaults = {
        "name": "garbage_share",
        "dataset": "notes",
        "column": "phrase",
        "observed": 0.02,
        "limit": 0.01,
        "rows": 24,
    }
    return Check(**{**defaults, "severity": severity, "passed": passed, **changes})


@pytest.mark.parametrize(
    ("checks", "verdict"),
    [
        ([], "pass"),
        ([check(passed=True), check("warning", passed=True)], "pass"),
        ([check(passed=True), check("warning")], "warn"),
        ([check("warning"), check("critical")], "fail"),
    ],
)
def test_verdict(checks: list[Check], verdict: str) -> None:
    assert judge(checks) == verdict


def test_a_warning_lets_training_go_on(tmp_path: Path) -> None:
    write_result(tmp_path, [check("warning"), check(passed=True)])
    require_checked(tmp_path)
    assert json.loads((tmp_path / "result.json").read_text())["verdict"] == "warn"


def test_a_critical_failure_names_the_check_and_its_counts(tmp_path: Path) -> None:
    write_result(
        tmp_path,
        [
            check(),
            check("warning", name="fresh"),
            check(name="volume", column=None, observed=10, limit=800, rows=0),
        ],
    )
    with pytest.raises(DataCheckFailed) as caught:
        require_checked(tmp_path)
    assert "garbage_share on notes.phrase (observed 0.02, limit 0.01, 24 rows)" in str(caught.value)
    assert "volume on notes (observed 10, limit 800)" in str(caught.value) and "fresh" not in str(
        caught.value
    )


def test_without_a_result_training_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(DataCheckFailed, match=r"result\.json"):
        require_checked(tmp_path)


def test_lone_surrogates_do_not_stop_the_report(tmp_path: Path) -> None:
    write_result(tmp_path, [check(examples=[{"id": "1", "phrase": "a\ud800"}])])
    assert json.loads((tmp_path / "result.json").read_text())["checks"][0]["rows"] == 24


def test_the_page_puts_failures_first_and_stays_offline() -> None:
    page = render_page([check("warning", passed=True, name="fresh"), check("critical")], [FACTS])
    assert "Stopped: a critical check failed" in page
    assert page.index('data-check="garbage_share"') < page.index('data-check="fresh"')
    assert "http://" not in page and "https://" not in page and "1,200 rows" in page


def test_the_page_escapes_phrases_and_shows_what_cannot_be_seen() -> None:
    examples = [{"id": "1", "phrase": "<script>alert(1)</script>\x07"}, {"id": "2", "phrase": None}]
    page = render_page([check(examples=examples)], [FACTS])
    assert (
        "<script>" not in page
        and r"\x07" in page
        and "\x07" not in page
        and "<td>null</td>" in page
    )


def test_a_failure_refuses_the_classifiers_that_it_concerns(tmp_path: Path) -> None:
    subjects = {"organ": ("notes", "organ"), "side": ("notes", "side"), "area": ("jobs", "area")}
    write_result(tmp_path, [check(column="organ", name="usable"), check("warning", column="side")])
    [(name, error)] = refusals(tmp_path, subjects).items()
    assert name == "organ"
    assert error.came == "usable on notes.organ (observed 0.02, limit 0.01, 24 rows)"
    write_result(tmp_path, [check(column="phrase"), check(column=None, name="volume")])
    assert set(refusals(tmp_path, subjects)) == {"organ", "side"}
    write_result(tmp_path, [check(passed=True)])
    assert refusals(tmp_path, subjects) == {}
