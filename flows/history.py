"""The step of a retraining that chooses the history window of classifiers with `auto`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from core.contracts import Verdict
from core.errors import PerennialError, StageFailed
from core.files import write_json
from core.logs import get_logger
from core.tables.loop import decision
from flows.context import LoopContext
from flows.run import Run, record_verdict
from pipelines.dvc_repository import dvc_environment
from pipelines.history_choice import (
    SUBJECT,
    LastChoice,
    chosen,
    kept,
    recipe_of,
    still_good,
    why_stale,
)
from pipelines.history_files import FIGURES
from pipelines.reproducing import stages_at_once
from pipelines.snapshot_files import FACTS
from pipelines.subprocesses import end_those_within, run_program
from pipelines.workspace import Workspace

CHOICE = "choice.json"


@dataclass(frozen=True)
class _Question:
    """What decides whether windows are compared: `why` is "" while the last choice is good."""

    last: LastChoice | None
    why: str
    rows: int
    recipe: Mapping[str, Any]


def choose_histories(
    context: LoopContext,
    workspace: Workspace,
    classifiers: Sequence[str],
    run: Run,
    *,
    record: bool = True,
) -> None:
    """Write a number for `history_days: auto` into the params.yaml of the workspace.

    The published commit holds it, so `dvc repro` of its tag trains on the same rows. A window is
    compared anew when the last choice is stale, within the block's budget.
    """
    params = context.params
    names = [name for name in classifiers if params.classifier(name).history_days == "auto"]
    questions = {name: _question(context, workspace, name, run) for name in names}
    stale = [name for name, question in questions.items() if question.why]
    problems = _compare(context, workspace, stale)

    for name, question in questions.items():
        verdict = _decide(workspace, name, question, problems.get(name, ""))
        workspace.fix_history(name, int(verdict.evidence["history_days"]))
        folder = history_folder(workspace.folder, name)
        folder.mkdir(parents=True, exist_ok=True)
        facts = {"kind": verdict.kind, "reason": verdict.reasons[0], **verdict.evidence}
        write_json(folder / CHOICE, facts)
        get_logger().info("history window", classifier=name, reason=verdict.reasons[0])
        if record and verdict.kind != "current":
            record_verdict(context.engine, verdict, run, classifier=name, subject=SUBJECT)


def history_folder(root: Path, classifier: str) -> Path:
    """Return where a retraining leaves the choice, its figures and its picture."""
    return root / "build" / "classifiers" / classifier / "history"


def history_sentence(root: Path, classifier: str) -> str:
    """Return which window was chosen and why; "" for a number in params.yaml."""
    file = history_folder(root, classifier) / CHOICE
    if not file.exists():
        return ""
    return f"History window: {json.loads(file.read_text(encoding='utf-8'))['reason']}."


def last_choice(context: LoopContext, classifier: str, *, before: datetime) -> LastChoice | None:
    """Return the newest decision about the window, None when there is none."""
    query = (
        sa.select(decision)
        .where(
            decision.c.classifier == classifier,
            decision.c.subject == SUBJECT,
            decision.c.decided_at <= before,
        )
        .order_by(decision.c.id.desc())
        .limit(1)
    )
    with context.engine.connect() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return LastChoice.of(Verdict(row.kind, tuple(row.reasons), row.evidence), row.decided_at)


def _question(context: LoopContext, workspace: Workspace, classifier: str, run: Run) -> _Question:
    block = context.params.classifier(classifier)
    recipe = recipe_of(block)
    facts = workspace.folder / "data" / block.source.dataset / FACTS
    rows = int(json.loads(facts.read_text(encoding="utf-8"))["rows"])
    last = last_choice(context, classifier, before=run.now)
    return _Question(last, why_stale(last, now=run.now, rows=rows, recipe=recipe), rows, recipe)


def _compare(
    context: LoopContext, workspace: Workspace, classifiers: Sequence[str]
) -> dict[str, str]:
    """Compare the windows of these classifiers; return the problem of each, "" for none."""
    if not classifiers:
        return {}
    workspace.reproduce(["embed"])
    blocks = {name: context.params.classifier(name) for name in classifiers}
    budgets = {name: block.history_budget_seconds for name, block in blocks.items()}
    return compare_at_once(workspace.folder, budgets)


def _decide(workspace: Workspace, classifier: str, question: _Question, problem: str) -> Verdict:
    facts: dict[str, Any] = {
        "why": question.why,
        "rows": question.rows,
        "recipe": question.recipe,
    }
    if question.last is not None and not question.why:
        return still_good(question.last)
    if problem:
        return kept(question.last, problem=problem, **facts)
    figures = history_folder(workspace.folder, classifier) / FIGURES
    return chosen(json.loads(figures.read_text(encoding="utf-8")), **facts)


def compare_at_once(folder: Path, budgets: Mapping[str, float]) -> dict[str, str]:
    """Compare the windows of several classifiers, as many at once as stages run at once.

    `budgets` has the seconds of each. Returns the problem of each, "" for none. An interrupt ends
    all comparisons.
    """
    with ThreadPoolExecutor(stages_at_once()) as pool:
        problems = pool.map(partial(_problem, folder), budgets, budgets.values())
        try:
            return dict(zip(budgets, problems, strict=True))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            end_those_within(folder)
            raise


def _problem(folder: Path, classifier: str, seconds: float) -> str:
    try:
        compare_within(folder, classifier, seconds=seconds)
    except PerennialError as error:
        return f"{error.wanted}, got {error.came}"
    return ""


def compare_within(folder: Path, classifier: str, *, seconds: float) -> None:
    """Compare the windows in a program of its own, which ends with the budget.

    Raises `StageFailed`.
    """
    began = time.monotonic()
    try:
        run_program(
            [sys.executable, "-m", "pipelines", "windows", classifier],
            folder=folder,
            environment=dvc_environment(folder),
            seconds=seconds,
            on_line=lambda line: get_logger().info("windows", line=line),
        )
    except StageFailed:
        if time.monotonic() - began < seconds:
            raise
        raise StageFailed(
            f"all windows compared within {seconds:.0f} s",
            came="an exhausted budget",
            do="raise history_budget_seconds, or set history_days to a number",
        ) from None
