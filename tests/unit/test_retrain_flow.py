"""Around the retraining flow: what is retried, what the pages show, what a failure logs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from prefect.client.schemas.objects import State
from prefect.states import Completed, Crashed, Failed
from sqlalchemy.exc import ProgrammingError

from core.contracts import Verdict
from core.errors import (
    Busy,
    DatabaseUnreachable,
    DataCheckFailed,
    HeadRefused,
    PerennialError,
    QueryRefused,
    RegistryUnreachable,
    SourceUnreachable,
)
from core.logs import configure_logs
from flows import retrain
from flows.hooks import log_failure, timed_task
from flows.pages import artifacts
from flows.pages.artifacts import artifact_key, show_checks, show_no_candidate
from flows.retrain import is_retryable


def named(error: type[PerennialError]) -> PerennialError:
    return error("rows", came="none", do="look")


def retried(state: State) -> bool:
    return is_retryable(None, None, state)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error",
    [*map(named, (SourceUnreachable, DatabaseUnreachable, RegistryUnreachable, Busy))],
    ids=lambda e: e.code,
)
def test_what_may_succeed_later_is_retried(error: Exception) -> None:
    assert retried(Failed(data=error)) is True
    assert retried(Crashed(data=error)) is True


@pytest.mark.parametrize(
    "error",
    [
        *map(named, (QueryRefused, DataCheckFailed, HeadRefused)),
        ProgrammingError("select nothing", {}, Exception("no such column")),
        ValueError("a bug"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_fails_again_is_not_retried(error: Exception) -> None:
    assert retried(Failed(data=error)) is False


def test_a_step_that_succeeded_is_not_retried() -> None:
    assert retried(Completed(data=3)) is False


def test_only_a_step_that_may_run_twice_is_retried() -> None:
    assert (retrain.take_snapshot.retries, retrain.take_snapshot.retry_condition_fn) == (
        3,
        is_retryable,
    )
    once = ("check_snapshot", "require_sound_data", "train_classifiers")
    assert [getattr(retrain, name).retries for name in once] == [0, 0, 0]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was handed to Prefect: `body`, `key` and `description` of each artifact."""
    shown_artifacts: list[dict[str, Any]] = []
    for name in ("create_markdown_artifact", "create_table_artifact"):
        monkeypatch.setattr(
            artifacts, name, lambda body, **named: shown_artifacts.append({"body": body, **named})
        )
    return shown_artifacts


@pytest.mark.parametrize("kind", ["wait", "failed"])
def test_a_run_without_a_candidate_shows_why(made: list[dict[str, Any]], kind: str) -> None:
    verdict = Verdict(kind, ("the next one is due tomorrow",), {"cool_down_days": 7})
    show_no_candidate("diagnosis_chapter", verdict, reason="drift")
    [artifact] = made
    page = artifact["body"].splitlines()
    assert page[0] == f"# diagnosis_chapter: {kind}"
    assert {"- the next one is due tomorrow", "| cool down days | 7 |"} <= set(page)
    assert "The champion stays." in artifact["body"] and "Reason: **drift**" in artifact["body"]
    assert artifact["key"] == "verdict-diagnosis-chapter"


def test_the_checks_are_a_table_with_observed_and_limit(made: list[dict[str, Any]]) -> None:
    check = {
        "dataset": "notes",
        "name": "rows",
        "column": None,
        "severity": "critical",
        "passed": False,
        "observed": 3,
        "limit": 100,
        "rows": 3,
    }
    without_column = {key: value for key, value in check.items() if key != "column"}
    show_checks(
        {
            "checks": [{**without_column, "expectation": "internal"}],
            "verdict": "fail",
            "page": "/reports/checks/r1/report.html",
        }
    )
    [artifact] = made
    assert artifact["body"] == [check]
    assert artifact["key"] == "data-checks"
    assert "**fail**" in artifact["description"]
    assert "/reports/checks/r1/report.html" in artifact["description"]


@pytest.mark.parametrize(
    "words",
    [
        ("verdict", "Diagnosis_Chapter"),
        ("verdict", "diagnosis chapter!"),
        ("Verdict", "diagnosis--chapter"),
    ],
)
def test_a_key_is_what_prefect_takes(words: tuple[str, ...]) -> None:
    assert artifact_key(*words) == "verdict-diagnosis-chapter"


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    configure_logs("json")
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    structlog.reset_defaults()


def test_a_failure_is_one_line_that_names_flow_and_error(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    state: State[Any] = Failed(
        message="Flow run encountered an exception: SourceUnreachable: postgresql://u:sEcr3t@h/d"
    )
    log_failure(SimpleNamespace(name="retrain"), SimpleNamespace(name="red-fox", id="0195"), state)
    [line] = lines()
    assert (line["level"], line["flow"], line["flow_run"], line["flow_run_id"]) == (
        "error",
        "retrain",
        "red-fox",
        "0195",
    )
    assert line["error"].endswith("SourceUnreachable: postgresql://u:***@h/d")


def test_a_task_logs_its_name_and_keeps_its_answer(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    def take_snapshot(number: int, *, twice: bool) -> int:
        return number * 2 if twice else number

    assert timed_task(take_snapshot)(3, twice=True) == 6
    assert [(line["event"], line["state"]) for line in lines()] == [
        ("take snapshot", "start"),
        ("take snapshot", "end"),
    ]


def judged_with(monkeypatch: pytest.MonkeyPatch, remember: Callable[..., object]) -> None:
    """Judge a candidate that is promoted, with another renewal of the memory."""
    promoted = Verdict("promote", ("better",))
    shown = ("_write_cards", "_show_cards", "_show_verdict")
    for name in ("compare_with_champion", "register_candidate", *shown):
        monkeypatch.setattr(retrain, name, lambda *_, **__: None)
    monkeypatch.setattr(retrain, "decide_and_promote", lambda *_: promoted)
    monkeypatch.setattr(retrain, "remember_retraining", remember)
    nothing: Any = SimpleNamespace(folder=Path(), require=lambda: None, now=1)
    verdict = retrain._judge_candidate(nothing, nothing, "topic", nothing, nothing, held=nothing)
    assert verdict == promoted


def test_a_memory_that_cannot_be_renewed_leaves_the_verdict(
    monkeypatch: pytest.MonkeyPatch, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    def busy(*_: object) -> None:
        raise named(Busy)

    judged_with(monkeypatch, busy)
    assert [line["event"] for line in lines()] == ["memory not renewed"]


def test_a_retraining_shows_which_answers_its_memory_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pages: list[object] = []
    renewed: Any = object()
    monkeypatch.setattr(
        retrain, "_show_renewal", lambda _, shown, **options: pages.append((shown, options))
    )
    judged_with(monkeypatch, lambda *_: renewed)
    assert pages == [(renewed, {"now": 1, "return_state": True})]
