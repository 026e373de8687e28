"""A search for settings in processes of its own, which share one study."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import optuna
import pyarrow.parquet as pq

from core.params.heads import Favour, Head
from flows.context import LoopContext
from flows.run import Run, embedder_id
from pipelines.git_repository import stage_environment
from pipelines.stages.files import classifier_folder
from pipelines.subprocesses import run_program, run_programs
from pipelines.tuning import records
from pipelines.tuning.__main__ import DATABASE
from pipelines.tuning.outcome import StudyOutcome, read_search
from pipelines.tuning.study import create_schema, open_storage
from pipelines.workspace import Workspace, log_line

MOST_PROCESSES = 4
"""Each holds the training rows and their vectors."""


@dataclass(frozen=True)
class Question:
    """What is tuned: the head of a block on the rows of the workspace.

    `rows` counts the training rows; `url` is that of the database with the studies; `favour` is
    what the block favours.
    """

    classifier: str
    head: Head
    seed: int
    rows: int
    workspace: Workspace
    storage: optuna.storages.BaseStorage
    url: str = field(repr=False)
    favour: Favour = "weighted"


def available_processes() -> int:
    """Return how many processes search by default: one per core that this program may use."""
    return min(len(os.sched_getaffinity(0)), MOST_PROCESSES)


def prepare_rows(workspace: Workspace, classifiers: Sequence[str]) -> None:
    """Split and embed. A classifier that cannot be split fails again, by name, in its training."""
    workspace.reproduce(["embed", *(f"split@{name}" for name in classifiers)], keep_going=True)


@contextmanager
def open_question(
    context: LoopContext, workspace: Workspace, classifier: str
) -> Iterator[Question]:
    """Count the rows in the workspace and open the studies."""
    rows = workspace.folder / classifier_folder(classifier) / "split" / "train.parquet"
    create_schema(context.urls.perennial)
    with open_storage(context.urls.perennial) as storage:
        yield Question(
            classifier,
            context.params.classifier(classifier).head,
            context.params.seed,
            rows=pq.read_metadata(rows).num_rows,
            workspace=workspace,
            storage=storage,
            url=context.urls.perennial,
            favour=context.params.classifier(classifier).favour,
        )


def begin_study(question: Question, run: Run) -> optuna.Study:
    """Open the study of exactly these rows, or begin it."""
    folder = question.workspace.folder / classifier_folder(question.classifier)
    name = records.study_name(
        question.classifier,
        question.head,
        rows=folder / "split" / "train.parquet",
        embedder_id=embedder_id(question.workspace),
        seed=question.seed,
        favour=question.favour,
    )
    return records.begin_study(
        question.storage,
        name,
        classifier=question.classifier,
        head=question.head,
        seed=question.seed,
        now=run.now,
    )


def run_search(question: Question, study: str, *, seconds: float, processes: int) -> None:
    """Run trials in `processes` programs at once. Raises `StageFailed` when one fails."""
    command = _command("try", question, study, "--seconds", str(seconds))
    run_programs(
        [command] * processes,
        folder=question.workspace.folder,
        environment=_environment(question),
        seconds=question.workspace.seconds,
        on_line=log_line,
    )


def conclude_search(question: Question, study: str) -> StudyOutcome:
    """Compare the best settings with the present ones on the slice that chose nothing."""
    file = question.workspace.folder / "build" / "tuning" / f"{question.classifier}.json"
    run_program(
        _command("conclude", question, study, "--to", str(file)),
        folder=question.workspace.folder,
        environment=_environment(question),
        seconds=question.workspace.seconds,
        on_line=log_line,
    )
    return read_search(json.loads(file.read_text(encoding="utf-8")))


def _command(step: str, question: Question, study: str, *options: str) -> list[str]:
    program = [sys.executable, "-m", "pipelines.tuning", step, question.classifier]
    return [*program, "--study", study, *options]


def _environment(question: Question) -> dict[str, str]:
    return {**stage_environment(), DATABASE: question.url}
