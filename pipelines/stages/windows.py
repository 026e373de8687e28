"""Compares windows of history for `history_days: auto`; a retraining starts it before `split`.

It is not a stage of DVC: its seconds differ from run to run. What it decides is a number, which the
retraining writes into the params.yaml that it publishes.
"""

from __future__ import annotations

from pathlib import Path

from core.logs import get_logger
from core.params.schema import load_params
from pipelines.history_files import compare_checkout, write_history
from pipelines.stages.files import classifier_folder

YEARS = 5
"""The longest window that is tried."""


def run(key: str) -> None:
    """Compare the windows of one classifier; write build/classifiers/<key>/history/.

    Raises `TrainingImpossible`.
    """
    params = load_params(Path("params.yaml"))
    comparison = compare_checkout(
        Path(),
        block=params.classifier(key),
        seed=params.seed,
        years=YEARS,
        report=lambda line: get_logger().info("window", classifier=key, fitted=line),
    )
    folder = classifier_folder(key) / "history"
    folder.mkdir(parents=True, exist_ok=True)
    write_history(folder, comparison)
