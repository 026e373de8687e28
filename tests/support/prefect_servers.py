"""A real Prefect server and a runner of the trivial flows, as processes that a test may kill."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from core.settings import Settings
from machine.health import runner_polls
from machine.local_http import answers
from tests.support.processes import Started, wait_for


@contextmanager
def server_and_runner(
    place: Settings, environment: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]]:
    with Started(
        environment,
        "prefect",
        "server",
        "start",
        "--host",
        "127.0.0.1",
        "--port",
        str(place.prefect_port),
    ) as server:
        wait_for(
            lambda: answers(f"{place.prefect_url}/api/health"),
            seconds=180,
            what="the Prefect server answers",
        )
        with Started(environment, "tests.support.trivial_flows") as runner:
            wait_for(
                lambda: runner_polls(place), seconds=120, what="the runner polls its deployments"
            )
            yield server, runner


def flow_runs(place: Settings) -> list[dict[str, Any]]:
    return httpx.post(f"{place.prefect_url}/api/flow_runs/filter", json={}, trust_env=False).json()


def call_deployment(place: Settings, full_name: str, **parameters: Any) -> str:
    """Create a flow run of `<flow>/<name>`; return its id."""
    deployment = httpx.get(
        f"{place.prefect_url}/api/deployments/name/{full_name}", trust_env=False
    ).json()
    url = f"{place.prefect_url}/api/deployments/{deployment['id']}/create_flow_run"
    request = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
    return httpx.post(url, json=request, trust_env=False).json()["id"]


def state_of(place: Settings, run: str) -> str:
    return httpx.get(f"{place.prefect_url}/api/flow_runs/{run}", trust_env=False).json()[
        "state_type"
    ]
