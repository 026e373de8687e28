"""`up` and `down` beside other commands of one home, and Ctrl-C in the middle of commands."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from core.embedded import holders, postmaster, stop_server
from core.errors import Busy
from core.settings import Settings
from machine.exclusive import exclusive_home
from machine.processes import down
from machine.supervision import (
    connect_supervisor,
    private_folder,
    supervised_processes,
    supervisor_folder,
)
from tests.support.places import PORTS, own_place
from tests.support.processes import interrupt, wait_for
from tests.support.repositories import ROOT, fresh_clone

HOLD = """
from core.database import open_database
from core.settings import load_settings
with open_database(load_settings()): input()
"""


@pytest.fixture
def settings(tmp_home: Path) -> Iterator[Settings]:
    settings = own_place(tmp_home).model_copy(update={"schedules": False})
    yield settings
    down(settings)
    stop_server(settings.home / "postgres")


def environment(settings: Settings) -> dict[str, str]:
    ports = {f"PERENNIAL_{name.upper()}": str(getattr(settings, name)) for name in PORTS}
    return {
        **os.environ,
        **ports,
        "PERENNIAL_HOME": str(settings.home),
        "PERENNIAL_SCHEDULES": "false",
        "PYTHONPATH": str(ROOT),
    }


def start(settings: Settings, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, *arguments]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(settings),
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_down_leaves_postgresql_to_a_command_that_works_with_it(settings: Settings) -> None:
    folder = settings.home / "postgres"
    reported: list[str] = []
    other = start(settings, "-c", HOLD)
    wait_for(
        lambda: other.pid in holders(folder), seconds=120, what="another command holds the server"
    )
    assert down(settings, report=reported.append) == []
    assert f"(pid {other.pid})" in reported[-1]
    assert postmaster(folder) is not None and other.poll() is None
    other.communicate("\n", timeout=60)
    assert other.returncode == 0
    assert postmaster(folder) is None, "it stops with its last holder"


def test_down_stops_postgresql_when_its_holder_was_killed(settings: Settings) -> None:
    folder = settings.home / "postgres"
    other = start(settings, "-c", HOLD)
    wait_for(
        lambda: other.pid in holders(folder), seconds=120, what="another command holds the server"
    )
    other.kill()
    other.wait(30)
    assert len(down(settings)) == 1
    assert postmaster(folder) is None


def test_a_down_that_cannot_have_its_turn_says_whose_it_is(settings: Settings) -> None:
    with (private_folder(supervisor_folder(settings)) / "lock").open("w") as lock:
        lock.write("4711")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Busy, match="4711"), exclusive_home(settings, seconds=0.3):
            pass
    with exclusive_home(settings, seconds=0.3):
        pass


def test_an_interrupted_up_stops_what_it_started_and_the_next_down_has_nothing_to_do(
    settings: Settings,
) -> None:
    process = start(settings, "-m", "cli.app", "up")
    wait_for(
        lambda: len(supervised_processes(settings)) >= 4 or process.poll() is not None,
        seconds=120,
        what="programs start",
    )
    interrupt(process)
    assert connect_supervisor(settings) is None
    assert supervised_processes(settings) == []
    assert postmaster(settings.home / "postgres") is None
    assert down(settings) == []


@pytest.mark.slow
def test_an_interrupted_demo_leaves_nothing_running(settings: Settings, clone: Path) -> None:
    process = start(
        settings.model_copy(update={"repository": clone}),
        "-m",
        "cli.app",
        "demo",
        "--scale",
        "small",
    )
    wait_for(
        lambda: len(supervised_processes(settings)) >= 4 or process.poll() is not None,
        seconds=240,
        what="programs start",
    )
    children = psutil.Process(process.pid).children(recursive=True)
    interrupt(process)
    assert supervised_processes(settings) == []
    assert postmaster(settings.home / "postgres") is None
    assert not psutil.wait_procs(children, timeout=30)[1]


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The demo runs what is committed."""
    clone = fresh_clone(tmp_path / "clone")
    monkeypatch.setenv("PERENNIAL_REPOSITORY", str(clone))
    return clone
