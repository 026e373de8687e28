"""What the pages of versions show, from the tables and the model store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import Connection

from console.state import ConsoleState
from flows.pages.artifacts import artifact_key
from flows.rollout import retained_versions
from monitoring.versions import Version, evaluation_of, read_versions

SHOWN_APART = {
    "accuracy_by_slice",
    "gain_by_slice",
    "flips",
    "visible_harm",
    "version",
    "reason",
    "harms",
    "gone_labels",
}
"""Evidence that the page of a version shows in a section of its own."""
SCORES = {
    "": "all test rows",
    "unseen_": "unseen phrases",
    "unseen_near_": "unseen, nearly a training phrase",
    "unseen_far_": "unseen, unlike any training phrase",
}
LABELS_SHOWN = 20


def versions_of(state: ConsoleState, connection: Connection, classifier: str) -> list[Version]:
    """Return every version of a classifier, newest first."""
    block = state.context.params.classifiers.get(classifier)
    return read_versions(
        connection,
        classifier,
        dataset=block.source.dataset if block else None,
        retained=retained_versions(state.context, classifier),
    )


def pages_elsewhere(state: ConsoleState, classifier: str, version: str) -> dict[str, str]:
    """Return title -> address of the version's pages in MLflow and Prefect."""
    settings = state.settings
    key = artifact_key("verdict", classifier)
    return {
        "This version in MLflow": f"{settings.mlflow_url}/#/models/{classifier}/versions/{version}",
        "Verdicts in Prefect": f"{settings.prefect_url}/artifacts/key/{key}",
    }


def score_rows(evaluation: Mapping[str, Any]) -> list[tuple[str, Mapping[str, float]]]:
    """Return (which test rows, their metrics)."""
    named = {title: evaluation.get(f"{prefix}metrics") for prefix, title in SCORES.items()}
    return [(title, metrics) for title, metrics in named.items() if metrics]


def other_evidence(version: Version) -> list[tuple[str, Any]]:
    """Return the numbers of the gate that no other section shows."""
    return [
        (name.replace("_", " "), value)
        for name, value in sorted(version.gate.items())
        if name not in SHOWN_APART
    ]


def label_differences(
    state: ConsoleState, classifier: str, left: str, right: str
) -> list[tuple[str, float | None, float | None]]:
    """Return (label, F1 of the left version, F1 of the right one), the largest difference first.

    Each on the test rows of its own version; None where there are none.
    """
    models = state.settings.models
    scores = [
        evaluation_of(models, classifier, version).get("labels", {}) for version in (left, right)
    ]
    rows = [
        (label, *(of_version.get(label, {}).get("f1") for of_version in scores))
        for label in {*scores[0], *scores[1]}
    ]
    return sorted(rows, key=lambda row: (-_apart(row[1], row[2]), row[0]))[:LABELS_SHOWN]


def _apart(left: float | None, right: float | None) -> float:
    return abs((left or 0.0) - (right or 0.0))
