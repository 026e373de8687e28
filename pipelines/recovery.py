"""Repairs what a killed retraining left in MLflow and in the model store."""

from __future__ import annotations

import shutil
from pathlib import Path

from pipelines.model_store import problem_of
from pipelines.registry import Registry


def finish_or_forget(registry: Registry, models: Path, classifier: str) -> None:
    """Complete the versions whose head is in the model store, and remove the others.

    Only the holder of the classifier's lock may call it: no other retraining is under way.
    """
    registry.end_runs(classifier)
    for version in registry.unfinished(classifier):
        folder = models / classifier / version.version
        if problem_of(folder, digest=version.tags.get("head_digest", "")):
            registry.forget(classifier, version.version)
        else:
            registry.complete(classifier, version.version)
    for part in (models / classifier).glob(".*.part"):
        shutil.rmtree(part, ignore_errors=True)
