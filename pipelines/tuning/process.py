"""What one process of a search does: run trials of a shared study, or conclude it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from core.files import write_json
from core.logs import get_logger
from core.params.schema import load_params
from pipelines.stages.files import EMBEDDINGS, read_json
from pipelines.stages.train import training_rows
from pipelines.tuning.outcome import StudyOutcome, TriedSettings
from pipelines.tuning.slices import slice_rows
from pipelines.tuning.space import chosen_settings, present_settings, with_settings
from pipelines.tuning.study import ENDED, TRIALS, open_storage, open_study, run_trials
from pipelines.tuning.trials import Objective, Problem, confirm


@dataclass(frozen=True)
class Work:
    """The problem of one classifier in the current folder, and its study."""

    problem: Problem
    study: optuna.Study


@contextmanager
def open_work(key: str, study: str, *, url: str) -> Iterator[Work]:
    """Read the training rows and open the study. Raises `TrainingImpossible`."""
    params = load_params(Path("params.yaml"))
    block = params.classifier(key)
    seed = params.seed
    embedder_id = read_json(EMBEDDINGS / "embedder.json")["embedder_id"]
    slices = slice_rows(training_rows(key), seed=seed)
    problem = Problem(block.head, slices, embedder_id, seed, block.favour)
    with open_storage(url) as storage:
        yield Work(problem, open_study(storage, study, seed=seed))


def try_settings(work: Work, *, seconds: float, trials: int | None = None) -> None:
    """Run trials for `seconds`, or until the study has `trials`; log each that ended."""
    run_trials(
        work.study,
        Objective(work.problem, deadline=time.monotonic() + seconds),
        seconds=seconds,
        trials=trials or TRIALS,
        after=_log_trial,
    )


def conclude(work: Work, file: Path) -> None:
    """Compare the best settings with the present ones; write the search."""
    head = work.problem.head
    present = present_settings(head)
    ended = work.study.get_trials(deepcopy=False, states=ENDED)
    trials = tuple(
        TriedSettings(trial.number, chosen_settings(trial.params), _score(trial)) for trial in ended
    )
    best = best_settings(trials, present)
    confirmation = None if best == present else confirm(with_settings(head, best), work.problem)
    search = StudyOutcome(present, best, trials, confirmation, work.problem.favour)
    write_json(file, search.as_json())


def best_settings(
    trials: tuple[TriedSettings, ...], present: dict[str, float | int]
) -> dict[str, float | int]:
    """Return the settings of the best completed trial: of equals the first, which is the present
    one when it is among them."""
    scored = [trial for trial in trials if trial.score is not None]
    if not scored:
        return present
    best = max(scored, key=lambda trial: (trial.score, -trial.number))
    return dict(best.settings)


def _score(trial: FrozenTrial) -> float | None:
    return trial.value if trial.state == TrialState.COMPLETE else None


def _log_trial(study: optuna.Study, trial: FrozenTrial) -> None:
    completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    best = max((other.value for other in completed if other.value is not None), default=None)
    get_logger().info(
        "trial",
        number=trial.number,
        result=trial.state.name.lower(),
        score=_score(trial),
        best=best,
        settings=chosen_settings(trial.params),
    )
