"""A machine that goes down during a retraining must not keep the next one from starting."""

from __future__ import annotations

import os

import psutil
import pytest

from core.database import DatabaseUrls
from core.settings import Settings
from machine.environment import child_settings, flow_environment
from tests.support.places import free_ports
from tests.support.prefect_servers import call_deployment, server_and_runner, state_of
from tests.support.processes import wait_for
from tests.support.repositories import ROOT


def kill(pid: int) -> None:
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        process.kill()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_after_everything_was_killed_the_next_retraining_still_gets_its_turn(
    session_settings: Settings, database: DatabaseUrls
) -> None:
    place = session_settings.model_copy(
        update={"prefect_port": free_ports(1)[0], "home": session_settings.home / "restart"}
    )
    place.home.mkdir()
    own = flow_environment(place, database, server=True) | child_settings(place, database)
    environment = {**os.environ, **own, "PYTHONPATH": str(ROOT)}
    with server_and_runner(place, environment) as (server, runner):
        hanging = call_deployment(place, "retrain/block", classifiers=["block"], reason="hang")
        wait_for(lambda: state_of(place, hanging) == "RUNNING", seconds=60, what="the run hangs")
        kill(runner.pid)
        kill(server.pid)
    with server_and_runner(place, environment):
        following = call_deployment(place, "retrain/block", classifiers=["block"], reason="manual")
        # the killed run's lease lasts 300 s
        wait_for(
            lambda: state_of(place, following) == "COMPLETED",
            seconds=420,
            what="the next run completes",
        )
