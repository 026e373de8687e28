"""Which flows run now; asks Prefect while it answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from core.settings import Settings
from machine.environment import TAG, own_prefect_answers
from machine.local_http import ask

SHOWN = 20
PATIENCE = 2.0
"""Seconds that a page waits for Prefect."""


@dataclass(frozen=True)
class RunningFlow:
    """A flow run in progress: its name, such as "block: drift", and its page in Prefect."""

    name: str
    since: datetime | None
    url: str


def running_flows(settings: Settings) -> list[RunningFlow] | None:
    """Return the runs in progress, newest first; None while this home's Prefect is away."""
    if not own_prefect_answers(settings, timeout=PATIENCE):
        return None
    wanted = {
        "flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}, "tags": {"all_": [TAG]}},
        "sort": "START_TIME_DESC",
        "limit": SHOWN,
    }
    runs = ask(f"{settings.prefect_url}/api/flow_runs/filter", body=wanted, timeout=PATIENCE)
    return [
        RunningFlow(
            run["name"],
            datetime.fromisoformat(run["start_time"]) if run["start_time"] else None,
            f"{settings.prefect_url}/runs/flow-run/{run['id']}",
        )
        for run in runs or []
    ]
