"""A real Prefect server and a runner of the trivial flows, as processes that a test may kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from core.settings import Settings
from machine.health import runner_polls
from machine.local_http import answers
from tests.support.repositories import ROOT

T = TypeVar("T")


def wait_for(found: Callable[[], T], *, seconds: float, what: str) -> T:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(0.25)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


def interrupt(process: subprocess.Popen[str], *, seconds: float = 120) -> str:
    """Ctrl-C for the process alone; what it said until it ended: at last one line, and never a traceback.

    The code is 130, or the signal itself, which a shell shows as 130 too: CPython ends like that when the interrupt came inside
    an `exec`, as while a dataclass is made.
    """
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=seconds)
    assert (process.returncode in (130, -signal.SIGINT), "Traceback" in err) == (True, False), (
        process.returncode,
        err[-4000:],
    )
    assert err.splitlines()[-1] == "interrupted"
    return err


class Started:
    """`python -m ...` in a session of its own, ended with the block."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        self.command, self.environment = [sys.executable, "-m", *arguments], environment

    def __enter__(self) -> subprocess.Popen[bytes]:
        self.process = subprocess.Popen(
            self.command, env=self.environment, cwd=ROOT, start_new_session=True
        )
        return self.process

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, 9)


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
    url, state = (
        f"{place.prefect_url}/api/deployments/{deployment['id']}/create_flow_run",
        {"type": "SCHEDULED"},
    )
    return httpx.post(url, json={"parameters": parameters, "state": state}, trust_env=False).json()[
        "id"
    ]


def state_of(place: Settings, run: str) -> str:
    return httpx.get(f"{place.prefect_url}/api/flow_runs/{run}", trust_env=False).json()[
        "state_type"
    ]
