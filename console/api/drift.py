"""The windows of a classifier as JSON: what the chart draws."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from console.access.people import Viewer
from console.state import Classifier, State
from monitoring.drift.budget import ALARM
from monitoring.drift.history import SeenWindow, seen_windows
from monitoring.windows.statistics import STATISTICS

router = APIRouter(prefix="/api/{classifier}/drift")


@router.get("")
def drift(classifier: Classifier, state: State, person: Viewer) -> dict[str, Any]:
    """Return the newest windows, oldest first, with the z of each statistic."""
    with state.reading() as connection:
        windows = seen_windows(connection, classifier)
    return {"statistics": list(STATISTICS), "windows": [_as_json(window) for window in windows]}


def _as_json(window: SeenWindow) -> dict[str, Any]:
    return {
        "number": window.number,
        "start": window.start.isoformat(),
        "end": window.end.isoformat(),
        "rows": window.rows,
        "version": window.version,
        "verdict": window.verdict,
        "alarms": list(window.alarms),
        "z": {name: entry["z"] for name, entry in window.statistics.items()},
        "limit": window.limit or ALARM,
        "labels": window.labels,
        "abstained_share": window.refused,
        "review": window.review.verdict if window.review else None,
    }
