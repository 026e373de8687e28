"""What a retraining found about labels: kept where the review queue and people find it."""

from __future__ import annotations

import json
from pathlib import Path

from core.label_reports import mark_not_judged, read_label_report, record_label_report
from flows.context import LoopContext
from flows.run import Run

SUSPECTS = "suspects"
"""The folder of the stage, and of its files in MLflow."""


def keep_label_report(
    context: LoopContext, classifier: str, *, version: str, run_id: str, built: Path, run: Run
) -> None:
    """Store the files of stage `suspects`. A repeated call changes nothing.

    Where the labels could not be judged, the report of the retraining before stays.
    `run_id` is the run of MLflow; `built` the folder of the classifier's outputs.
    """
    folder = built / SUSPECTS
    context.registry.log_folder(run_id, folder, SUSPECTS)
    suspects = json.loads((folder / "suspects.json").read_text(encoding="utf-8"))
    labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    with context.engine.begin() as connection:
        earlier = read_label_report(connection, classifier)
        if "not_measured" in suspects and earlier is not None:
            reason = suspects["not_measured"]
            mark_not_judged(connection, classifier, version=version, reason=reason)
            return
        record_label_report(
            connection, classifier, version=version, suspects=suspects, labels=labels, now=run.now
        )
