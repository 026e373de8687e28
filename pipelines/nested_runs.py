"""The trials of a tuning in MLflow, as runs below the run that they belong to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipelines.tuning.outcome import StudyOutcome, TriedSettings

if TYPE_CHECKING:
    from mlflow import MlflowClient


def log_search(run_id: str, search: StudyOutcome) -> None:
    """Log every trial as a nested run, and the comparison as `tuning/...` of the run itself.

    The registry must be open: it sets the address of MLflow.
    """
    import mlflow

    client = mlflow.MlflowClient()
    experiment = client.get_run(run_id).info.experiment_id
    for trial in search.trials:
        _log_trial(client, experiment, run_id, trial, score_name=f"{search.favour}_f1")
    if search.confirmation is not None:
        numbers = {f"tuning/{name}": value for name, value in vars(search.confirmation).items()}
        _log_numbers(client, run_id, numbers)


def _log_trial(
    client: MlflowClient, experiment: str, parent: str, trial: TriedSettings, *, score_name: str
) -> None:
    from mlflow.entities import Param

    tags = {"mlflow.parentRunId": parent, "pruned": str(trial.score is None).lower()}
    run = client.create_run(experiment, tags=tags, run_name=f"trial {trial.number}")
    settings = [Param(name, f"{value:g}") for name, value in trial.settings.items()]
    client.log_batch(run.info.run_id, params=settings)
    if trial.score is not None:
        _log_numbers(client, run.info.run_id, {score_name: trial.score})
    client.set_terminated(run.info.run_id)


def _log_numbers(client: MlflowClient, run_id: str, numbers: Mapping[str, float]) -> None:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    metrics = [Metric(name, float(value), now, 0) for name, value in numbers.items()]
    client.log_batch(run_id, metrics=metrics)
