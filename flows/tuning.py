"""Tuning before a training: whether it is due, its search, and the change of params.yaml."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import optuna
import sqlalchemy as sa

from core.errors import PerennialError, StageFailed
from core.files import write_json
from core.logs import first_line, get_logger, timed
from core.params.edits import set_head
from core.params.tune import TuneParams
from flows.context import LoopContext
from flows.run import Run
from flows.searching import (
    Question,
    available_processes,
    begin_study,
    conclude_search,
    open_question,
    prepare_rows,
    run_search,
)
from pipelines.git_repository import run_git
from pipelines.nested_runs import log_search
from pipelines.tuning import records
from pipelines.tuning.outcome import Settings, StudyOutcome, read_search, sentences, words
from pipelines.tuning.space import present_settings, with_settings
from pipelines.tuning.study import TRIALS, count_trials
from pipelines.workspace import Workspace

FILE = "tuning.json"
DIFF = "params.diff"
ARTIFACTS = "tuning"
"""Artifact folder of an MLflow run."""


@dataclass(frozen=True)
class Tuning:
    """What became of the settings of one classifier in one run.

    Attributes
    ----------
    why : what called for it
    before, after : the settings
    lines : the result in sentences
    commit, diff : the change of params.yaml, "" when nothing changes
    search : None without one
    """

    classifier: str
    why: str
    before: Settings
    after: Settings
    lines: tuple[str, ...]
    commit: str = ""
    diff: str = ""
    search: StudyOutcome | None = field(default=None, repr=False)


def tune_heads(
    context: LoopContext, workspace: Workspace, classifiers: Sequence[str], run: Run
) -> list[Tuning]:
    """Tune the classifiers whose block asks for it; the workspace then has the chosen settings.

    An error leaves the present settings: it never stops a retraining.
    """
    blocks = {name: context.params.classifier(name) for name in classifiers}
    tuned = [name for name, block in blocks.items() if block.tune.when != "never"]
    if not tuned:
        return []
    try:
        prepare_rows(workspace, tuned)
    except StageFailed as error:
        get_logger().warning("tuning", state="not every split was made", error=str(error))
    return [_tune_or_stay(context, workspace, name, run) for name in tuned]


def _tune_or_stay(context: LoopContext, workspace: Workspace, classifier: str, run: Run) -> Tuning:
    head = context.params.classifier(classifier).head
    present = present_settings(head)
    try:
        with timed("tune", classifier=classifier):
            tuning = _tune(context, workspace, classifier, run)
    except (
        PerennialError,
        optuna.exceptions.OptunaError,
        sa.exc.SQLAlchemyError,
        OSError,
    ) as error:
        line = f"the present settings stay, because the tuning failed: {first_line(error)}"
        tuning = Tuning(classifier, "", present, present, (line,))
        get_logger().error("tuning", classifier=classifier, error=str(error))
    keep_tuning(context, tuning, run)
    return tuning


def _tune(context: LoopContext, workspace: Workspace, classifier: str, run: Run) -> Tuning:
    block = context.params.classifier(classifier)
    present = present_settings(block.head)
    if not present:
        line = f"the kind {block.head.kind} has no settings to search"
        return Tuning(classifier, "", present, present, (line,))
    with open_question(context, workspace, classifier) as question:
        return _tune_due(question, run, block.tune)


def _tune_due(question: Question, run: Run, tune: TuneParams) -> Tuning:
    """Search when it is due; else carry over what the last search chose."""
    last = records.last_tuning(question.storage, question.classifier)
    stale = records.why_stale(
        last, head=question.head, rows=question.rows, now=run.now, favour=question.favour
    )
    if tune.when == "always" or stale or last is None:
        return tune_now(question, run, why=stale or "always", seconds=tune.seconds)

    present = present_settings(question.head)
    moment = f"{last.at:%Y-%m-%d %H:%M}"
    carried = records.carried_settings(last, question.head)
    if not carried:
        line = f"the settings are fresh: tuned at {moment}"
        return Tuning(question.classifier, "", present, present, (line,))
    why = f"tuned at {moment}, and params.yaml has not taken the result"
    lines = (f"carried over: {words(carried)}",)
    return _change_params(question, Tuning(question.classifier, why, present, carried, lines))


def tune_now(
    question: Question,
    run: Run,
    *,
    why: str,
    seconds: float,
    processes: int = 0,
    interruptible: bool = False,
) -> Tuning:
    """Search for at most `seconds`, decide, and change the params.yaml of the workspace.

    Parameters
    ----------
    processes : by default one per core
    interruptible : whether Ctrl-C ends the search alone; the best so far is then compared
    """
    study = begin_study(question, run)
    brought = count_trials(study)
    ended = _search(
        question, study, seconds=seconds, processes=processes, interruptible=interruptible
    )
    with timed("compare settings", classifier=question.classifier):
        search = conclude_search(question, study.study_name)
    after = search.chosen
    records.record_conclusion(
        study,
        before=question.head,
        after=with_settings(question.head, after),
        rows=question.rows,
        now=run.now,
        favour=question.favour,
    )
    lines = (*_about(search, ended, brought), *sentences(search))
    present = present_settings(question.head)
    tuning = Tuning(question.classifier, why, present, after, lines, search=search)
    return tuning if after == present else _change_params(question, tuning)


def _search(
    question: Question,
    study: optuna.Study,
    *,
    seconds: float,
    processes: int,
    interruptible: bool,
) -> str:
    """Return why the search ended."""
    count = processes or available_processes()
    try:
        with timed("search settings", classifier=question.classifier):
            run_search(question, study.study_name, seconds=seconds, processes=count)
    except KeyboardInterrupt:
        if not interruptible:
            raise
        return "interrupted"
    except StageFailed as error:
        if not count_trials(study):
            raise
        return f"a process failed: {first_line(error)}"

    if count_trials(study) >= TRIALS:
        return f"all {TRIALS} trials are made"
    return f"the budget of {seconds:g} s is spent"


def _about(search: StudyOutcome, ended: str, brought: int) -> list[str]:
    lines = [f"{ended}; the best of {len(search.trials)} trials counts"]
    if brought:
        lines.append(f"{brought} trials were made before, on the same rows")
    return lines


def _change_params(question: Question, tuning: Tuning) -> Tuning:
    """Commit the change in the workspace: the retraining's branch begins with it."""
    changed = {name: value for name, value in tuning.after.items() if value != tuning.before[name]}
    name = tuning.classifier
    workspace = question.workspace
    commit = workspace.change_params(
        lambda text: set_head(text, name, changed),
        message=f"Tune {name}: {words(changed)}\n\n" + "\n".join(tuning.lines),
    )
    diff = run_git(["show", "--format=", commit], workspace.folder)
    return Tuning(**{**vars(tuning), "commit": commit, "diff": diff})


def tuning_folder(context: LoopContext, run: Run, classifier: str) -> Path:
    """Return where the tuning of a run is kept."""
    return context.settings.reports / "tuning" / run.id / classifier


def keep_tuning(context: LoopContext, tuning: Tuning, run: Run) -> None:
    """Write the tuning as JSON, and the change of params.yaml as a diff."""
    folder = tuning_folder(context, run, tuning.classifier)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FILE, asdict(tuning))
    if tuning.diff:
        (folder / DIFF).write_text(tuning.diff + "\n", encoding="utf-8")


def log_tuning(context: LoopContext, classifier: str, run_id: str, run: Run) -> None:
    """Log the run's tuning, where there is one: its folder, and each trial as a nested run."""
    folder = tuning_folder(context, run, classifier)
    if not (folder / FILE).exists():
        return
    context.registry.log_folder(run_id, folder, ARTIFACTS)
    if search := _kept_search(folder):
        log_search(run_id, search)


def _kept_search(folder: Path) -> StudyOutcome | None:
    content = json.loads((folder / FILE).read_text(encoding="utf-8"))["search"]
    return read_search(content) if content else None
