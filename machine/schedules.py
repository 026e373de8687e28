"""When Prefect runs the flows of a classifier next; asks the server while it answers."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.settings import Settings
from machine.environment import own_prefect_answers
from machine.local_http import ask

FLOWS = ("watch", "retrain")


@dataclass(frozen=True)
class Schedule:
    """The schedule of one flow for one classifier; `next_run` is None while it is paused."""

    flow: str
    paused: bool
    next_run: datetime | None


def schedules_of(settings: Settings, classifiers: Iterable[str]) -> dict[str, list[Schedule]]:
    """Return classifier -> its schedules; empty while this home's Prefect is away."""
    if not own_prefect_answers(settings):
        return {}
    return {
        name: [schedule for flow in FLOWS if (schedule := _schedule(settings, flow, name))]
        for name in classifiers
    }


def _schedule(settings: Settings, flow: str, classifier: str) -> Schedule | None:
    name = urllib.parse.quote(classifier)
    deployment = ask(f"{settings.prefect_url}/api/deployments/name/{flow}/{name}")
    if not deployment:
        return None
    active = any(row["active"] for row in deployment["schedules"])
    paused = bool(deployment["paused"]) or not active
    return Schedule(flow, paused, None if paused else _next_run(settings, deployment))


def _next_run(settings: Settings, deployment: Mapping[str, Any]) -> datetime | None:
    query = {
        "deployments": {"id": {"any_": [deployment["id"]]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
        "sort": "EXPECTED_START_TIME_ASC",
        "limit": 1,
    }
    runs = ask(f"{settings.prefect_url}/api/flow_runs/filter", body=query)
    return datetime.fromisoformat(runs[0]["expected_start_time"]) if runs else None
