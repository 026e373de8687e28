"""When the history window is chosen anew, what a choice says, and how it reaches params.yaml."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from core.errors import ParamsError, StageFailed, TrainingImpossible
from core.params.schema import DEFAULT_HISTORY_DAYS, ClassifierParams, load_params
from flows import history
from flows.history import compare_within
from pipelines.history import HistoryComparison, HistoryWindow
from pipelines.history_choice import (
    RENEW_DAYS,
    LastChoice,
    chosen,
    describe_saving,
    kept,
    recipe_of,
    still_good,
    why_stale,
)
from pipelines.history_files import compare_checkout, write_history
from pipelines.model.text import clean_phrase
from pipelines.stages.resolve import specs
from pipelines.stages.vectors import store_vectors
from pipelines.subprocesses import run_program
from pipelines.workspace import Workspace
from tests.support.repositories import ROOT
from tests.support.training import vectors_of, write_snapshot

NOW = datetime(2026, 3, 1, tzinfo=UTC)
BLOCK = ClassifierParams.model_validate(
    {
        "source": {"query": "queries/notes.sql", "label": "organ"},
        "head": "logistic",
        "history_days": "auto",
    }
)
RECIPE = recipe_of(BLOCK)
LAST = LastChoice(730, NOW - timedelta(days=10), 1000, RECIPE, "730 days of history")
FIGURES = asdict(
    HistoryComparison(
        (
            HistoryWindow(365, 100, 2.0, 0.95, 0.03, 0.04, enough=False),
            HistoryWindow(730, 200, 4.0, 0.98, 0.0, 0.0, enough=True),
            HistoryWindow(1095, 300, 9.5, 0.975, 0.005, 0.006, enough=False),
        ),
        recommended=730,
        test_rows=50,
    )
)


def test_a_raised_budget_lets_a_comparison_that_did_not_end_begin_again() -> None:
    verdict = kept(None, problem="the budget was exhausted", why="", rows=1000, recipe=RECIPE)
    last = LastChoice.of(verdict, NOW)
    raised = recipe_of(BLOCK.model_copy(update={"history_budget_seconds": 1200.0}))
    assert why_stale(last, now=NOW, rows=1000, recipe=RECIPE) == ""
    why = why_stale(last, now=NOW, rows=1000, recipe=raised)
    assert why == "the classifier's block has changed"


@pytest.mark.parametrize(
    ("last", "rows", "recipe", "why"),
    [
        (None, 1000, RECIPE, "no window was chosen before"),
        (LAST, 1000, RECIPE, ""),
        (LAST, 1250, RECIPE, ""),
        (LAST, 1251, RECIPE, "the snapshot has 1,251 rows, at the last choice 1,000"),
        (LAST, 700, RECIPE, "the snapshot has 700 rows, at the last choice 1,000"),
        (LAST, 1000, {**RECIPE, "test_days": 30}, "the classifier's block has changed"),
        (
            replace(LAST, decided_at=NOW - timedelta(days=RENEW_DAYS)),
            1000,
            RECIPE,
            f"the last choice is {RENEW_DAYS} days old",
        ),
    ],
)
def test_a_window_is_chosen_anew_only_when_the_last_choice_is_stale(
    last: LastChoice | None, rows: int, recipe: dict[str, Any], why: str
) -> None:
    assert why_stale(last, now=NOW, rows=rows, recipe=recipe) == why


def test_a_choice_says_what_it_found_and_what_it_saves() -> None:
    verdict = chosen(FIGURES, why="", rows=1000, recipe=RECIPE)
    assert verdict.reasons == (
        "730 days of history, the shortest window that is not worse: weighted F1 0.9800, at most "
        "0.0000 behind the best of 3; a fit takes 6 CPU seconds less than with 1095 days",
    )
    assert verdict.evidence["seconds_saved"] == 5.5
    again = LastChoice.of(verdict, NOW)
    assert (again.days, again.rows, again.recipe) == (730, 1000, RECIPE)
    assert still_good(again).reasons[0].endswith("(decided on 2026-03-01)")


@pytest.mark.parametrize(
    ("days", "seconds", "sentence"),
    [
        (365, 9.0, "a fit takes 2 CPU seconds less than with 1095 days"),
        (365, 10.0, "a fit takes 1 CPU second less than with 1095 days"),
        (365, 10.6, "a fit takes as long as with 1095 days"),
        (365, 12.0, "a fit takes as long as with 1095 days"),
        (1095, 11.0, "every shorter window is worse"),
    ],
)
def test_savings_of_a_window_are_shown_where_there_are_any(
    days: int, seconds: float, sentence: str
) -> None:
    longest = {"days": 1095, "seconds": 11.0}
    assert describe_saving({"days": days, "seconds": seconds}, longest) == sentence


def test_data_of_one_window_are_said_to_go_no_further_back() -> None:
    figures = {**FIGURES, "windows": FIGURES["windows"][:1], "recommended": 365}
    verdict = chosen(figures, why="", rows=1000, recipe=RECIPE)
    assert verdict.reasons == ("365 days of history: the data go no further back",)


@pytest.mark.parametrize(("last", "days"), [(LAST, 730), (None, DEFAULT_HISTORY_DAYS)])
def test_a_comparison_that_did_not_end_keeps_the_last_choice(
    last: LastChoice | None, days: int
) -> None:
    verdict = kept(last, problem="the budget was exhausted", why="", rows=9, recipe=RECIPE)
    assert verdict.evidence["history_days"] == days
    assert "the budget was exhausted" in verdict.reasons[0]
    whose = "the last choice" if last else "the default"
    assert f"{days} days of history, {whose}" in verdict.reasons[0]


def test_a_kept_window_leaves_rows_to_train_on_after_test_days_grew() -> None:
    longer = BLOCK.model_copy(update={"test_days": LAST.days})
    verdict = kept(LAST, problem="none", why="", rows=9, recipe=recipe_of(longer))
    assert verdict.evidence["history_days"] == DEFAULT_HISTORY_DAYS > longer.test_days
    assert f"the last choice of {LAST.days} has no day before" in verdict.reasons[0]
    shorter = BLOCK.model_copy(update={"test_days": LAST.days - 1})
    verdict = kept(LAST, problem="none", why="", rows=9, recipe=recipe_of(shorter))
    assert verdict.evidence["history_days"] == LAST.days


def test_a_budget_ends_the_comparison() -> None:
    with pytest.raises(StageFailed, match="within 0 s, got an exhausted budget"):
        compare_within(ROOT, "block", seconds=0.2)


def test_windows_of_several_classifiers_are_compared_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2, timeout=30)

    def compare(folder: Path, classifier: str, *, seconds: float) -> None:
        both.wait()
        if classifier == "slow":
            raise StageFailed("all windows compared", came=f"{seconds:.0f} s spent", do="wait")

    monkeypatch.setattr(history, "stages_at_once", lambda: 2)
    monkeypatch.setattr(history, "compare_within", compare)
    problems = history.compare_at_once(tmp_path, {"slow": 5.0, "fast": 600.0})
    assert problems == {"slow": "all windows compared, got 5 s spent", "fast": ""}


def test_an_interrupt_ends_every_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()
    ended: list[str] = []

    def compare(folder: Path, classifier: str, *, seconds: float) -> None:
        if classifier == "interrupted":
            begun.wait(30)
            raise KeyboardInterrupt
        program = [sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(600)"]
        try:
            run_program(
                program,
                folder=folder,
                environment=os.environ,
                seconds=seconds,
                on_line=lambda line: begun.set(),
            )
        except StageFailed:
            ended.append(classifier)

    monkeypatch.setattr(history, "stages_at_once", lambda: 2)
    monkeypatch.setattr(history, "compare_within", compare)
    with pytest.raises(KeyboardInterrupt):
        history.compare_at_once(tmp_path, {"interrupted": 60.0, "long": 600.0})
    assert ended == ["long"]


def write_params(folder: Path, **block: Any) -> Path:
    path = folder / "params.yaml"
    source = {"query": "queries/notes.sql", "label": "organ"}
    classifiers = {"organ": {"source": source, **block}, "other": {"source": source}}
    path.write_text(yaml.safe_dump({"classifiers": classifiers}), encoding="utf-8")
    return path


def test_a_workspace_gets_the_number_and_nothing_else_changes(tmp_path: Path) -> None:
    path = write_params(tmp_path, history_days="auto", favour="macro")
    before = yaml.safe_load(path.read_text())
    Workspace(tmp_path, "", tmp_path).fix_history("organ", 730)
    before["classifiers"]["organ"]["history_days"] = 730
    assert yaml.safe_load(path.read_text()) == before
    assert specs(load_params(path))["organ/split.json"]["history_days"] == 730


def test_a_bare_repro_with_auto_takes_the_default_window(tmp_path: Path) -> None:
    params = load_params(write_params(tmp_path, history_days="auto"))
    assert specs(params)["organ/split.json"]["history_days"] == DEFAULT_HISTORY_DAYS


@pytest.mark.parametrize(
    ("block", "wanted"),
    [
        ({"history_days": "atuo"}, r"history_days to be 'auto', got 'atuo'"),
        ({"history_days": 0}, r"history_days to be greater than or equal to 1, got 0"),
        ({"history_days": 2.5}, r"history_days to be a valid integer, got 2.5"),
        ({"history_days": "auto", "test_days": 2000}, r"must be smaller than history_days \(1095"),
        ({"history_budget_seconds": 0}, r"history_budget_seconds to be greater than 0"),
    ],
)
def test_what_is_no_window_is_refused(tmp_path: Path, block: dict[str, Any], wanted: str) -> None:
    with pytest.raises(ParamsError, match=wanted):
        load_params(write_params(tmp_path, **block))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose snapshot goes back 400 days, embedded."""
    rows = write_snapshot(tmp_path)
    written = pq.read_table(rows / "rows.parquet")["phrase"].to_pylist()
    phrases = sorted({clean_phrase(phrase) for phrase in written})
    folder = tmp_path / "build" / "embeddings"
    folder.mkdir(parents=True)
    store_vectors(folder, phrases, vectors_of(phrases), "words-1")
    return tmp_path


def compare(root: Path, block: ClassifierParams) -> HistoryComparison:
    return compare_checkout(root, block=block, seed=7, years=5, report=lambda line: None)


def test_windows_longer_than_the_data_are_not_tried(checkout: Path) -> None:
    comparison = compare(checkout, BLOCK)
    assert [window.days for window in comparison.windows] == [365, 730]
    write_history(checkout, comparison)
    assert (checkout / "history.png").exists() and (checkout / "history.json").exists()


def test_data_shorter_than_the_test_days_are_refused(checkout: Path) -> None:
    block = BLOCK.model_copy(update={"test_days": 1000})
    with pytest.raises(TrainingImpossible, match="over more than test_days"):
        compare(checkout, block)
