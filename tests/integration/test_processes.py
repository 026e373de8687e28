"""`up`, `down` and `status` with every program real."""

from __future__ import annotations

import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from core.database import connect
from core.embedded import postmaster
from core.errors import PortTaken, ProcessFailed
from core.settings import Settings
from machine import processes
from machine import status as program_status
from machine.environment import prefect_answers
from machine.ports import port_is_free
from machine.processes import down, restart_service, up
from machine.programs import Program, list_programs
from machine.startup import bring_up
from machine.status import ProgramStatus, status
from machine.supervision import (
    connect_supervisor,
    start_supervisor,
    supervised_processes,
    supervisor_folder,
)
from tests.support.places import own_place
from tests.support.prefect_servers import call_deployment, state_of

ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def wait_for(condition: Callable[[], object], *, what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.2)


def end_supervisor(settings: Settings) -> None:
    supervisor = connect_supervisor(settings)
    assert supervisor is not None, "supervisord runs"
    supervisor.shutdown()


def by_name(settings: Settings) -> dict[str, ProgramStatus]:
    return {program.name: program for program in status(settings)}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A place where `up` has run, schedules paused."""
    settings = own_place(tmp_path_factory.mktemp("place") / "home").model_copy(
        update={"schedules": False}
    )
    up(settings)
    yield settings
    down(settings)


def test_all_is_ready_and_the_service_waits_for_its_first_bento(running: Settings) -> None:
    states = {name: program.state for name, program in by_name(running).items()}
    assert states == {
        "postgres": "ready",
        "prefect": "ready",
        "mlflow": "ready",
        "evidently": "ready",
        "console": "ready",
        "runner": "ready",
        "service": "waiting",
    }
    assert restart_service(running, report=print) is False


def test_a_second_up_changes_nothing(running: Settings) -> None:
    before = by_name(running)
    began = time.monotonic()
    up(running)
    assert by_name(running) == before
    assert time.monotonic() - began < 30


def test_a_deployment_runs_beside_the_programs(running: Settings) -> None:
    """In the folder of Prefect, with the code of this repository."""
    run = call_deployment(running, "watch/block")
    wait_for(lambda: state_of(running, run) in ENDED, what="the watch ended", seconds=240)
    assert state_of(running, run) == "COMPLETED"


def test_mlflow_keeps_its_state_in_postgresql(running: Settings) -> None:
    url = f"postgresql://postgres@/mlflow?host={running.home / 'postgres'}"
    with connect(url).connect() as connection:
        assert connection.scalar(sa.text("select count(*) from experiments")) >= 1


def test_what_is_written_is_private(running: Settings) -> None:
    folder = supervisor_folder(running)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "supervisord.conf").stat().st_mode) == 0o600
    assert stat.S_IMODE((running.home / "logs" / "prefect.log").stat().st_mode) & 0o077 == 0


def test_killed_postgresql_comes_back_and_prefect_with_it(running: Settings) -> None:
    server = postmaster(running.home / "postgres")
    assert server is not None
    server.kill()
    wait_for(
        lambda: (
            (new := postmaster(running.home / "postgres")) is not None and new.pid != server.pid
        ),
        what="a new server",
    )
    wait_for(lambda: by_name(running)["postgres"].state == "ready", what="postgres is ready")
    wait_for(lambda: prefect_answers(running), what="Prefect answers")


def test_after_a_killed_supervisor_status_says_down_and_down_ends_the_rest(
    running: Settings,
) -> None:
    psutil.Process(int((supervisor_folder(running) / "supervisord.pid").read_text())).kill()
    wait_for(lambda: connect_supervisor(running) is None, what="the supervisor is gone", seconds=10)
    assert {program.state for program in status(running)} == {"down"}
    orphans = supervised_processes(running)
    assert orphans
    ended = down(running)
    assert {process.pid for process in orphans} <= set(ended)
    assert not [
        pid
        for pid in ended
        if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    ]
    assert postmaster(running.home / "postgres") is None
    assert all(
        port_is_free(running.host, program.port)
        for program in list_programs(running)
        if program.port
    )


def test_down_without_up_is_no_error(tmp_home: Path) -> None:
    assert down(own_place(tmp_home)) == []


def test_up_refuses_a_taken_port_and_starts_nothing(tmp_home: Path) -> None:
    import socket

    settings = own_place(tmp_home)
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings.service_port))
        other.listen()
        with pytest.raises(PortTaken, match="PERENNIAL_SERVICE_PORT"):
            up(settings)
    assert connect_supervisor(settings) is None
    assert postmaster(settings.home / "postgres") is None


def test_a_program_that_dies_early_fails_with_the_end_of_its_log(tmp_home: Path) -> None:
    settings = own_place(tmp_home)
    code = "import sys; print('starting up'); print('no such table: rows'); sys.exit(3)"
    dying = Program(
        "mlflow",
        "dies",
        (sys.executable, "-u", "-c", code),
        url=settings.mlflow_url,
        health="/health",
    )
    start_supervisor(settings, [dying], {})
    try:
        with pytest.raises(ProcessFailed, match="no such table: rows"):
            bring_up(settings, [dying], report=print)
    finally:
        end_supervisor(settings)
        psutil.wait_procs(supervised_processes(settings), timeout=30)


def serve_after(seconds: int, *, port: int) -> tuple[str, ...]:
    """The command of a program that answers 200 after so many seconds."""
    serve = f"sys.argv[1:] = ['{port}', '--bind', '127.0.0.1']"
    run = "runpy.run_module('http.server', run_name='__main__')"
    code = f"import runpy, sys, time; time.sleep({seconds}); {serve}; {run}"
    return (sys.executable, "-c", code)


def test_a_program_that_waits_for_another_is_not_late(tmp_home: Path) -> None:
    settings = own_place(tmp_home)
    slow = Program(
        "mlflow",
        "answers late",
        serve_after(8, port=settings.mlflow_port),
        url=settings.mlflow_url,
        health="/",
    )
    quick = Program(
        "service",
        "answers at once, after the other",
        serve_after(0, port=settings.service_port),
        url=settings.service_url,
        health="/",
        needs=("mlflow",),
        ready_seconds=7,
    )
    ready: list[str] = []
    start_supervisor(settings, [slow, quick], {})
    try:
        bring_up(settings, [slow, quick], report=ready.append)
    finally:
        end_supervisor(settings)
        psutil.wait_procs(supervised_processes(settings), timeout=30)
    assert [line.split()[0] for line in ready] == ["mlflow", "service"]


def test_restarting_the_service_takes_the_newest_bento(
    tmp_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = own_place(tmp_home)
    server = (
        sys.executable,
        "-m",
        "http.server",
        str(settings.service_port),
        "--bind",
        settings.host,
    )
    service = Program(
        "service",
        "answers",
        server,
        port=settings.service_port,
        url=settings.service_url,
        health="/",
    )
    for module in (processes, program_status):
        monkeypatch.setattr(module, "list_programs", lambda settings: (service,))
    assert restart_service(settings, report=print) is False
    start_supervisor(settings, [service], {})
    assert restart_service(settings, report=print) is False, "there is no bento yet"
    store = settings.home / "bentoml" / "bentos" / "perennial"
    store.mkdir(parents=True)
    store.joinpath("latest").write_text("one")
    try:
        assert restart_service(settings, report=print) is True
        first = by_name(settings)["service"]
        assert restart_service(settings, report=print) is True
        second = by_name(settings)["service"]
    finally:
        end_supervisor(settings)
        psutil.wait_procs(supervised_processes(settings), timeout=30)
    assert (first.state, second.state) == ("ready", "ready")
    assert first.pid != second.pid


def test_a_home_too_long_for_a_socket_works(tmp_path: Path) -> None:
    settings = own_place(tmp_path.joinpath(*["long" * 10] * 3))
    sleeping = Program("runner", "sleeps", (sys.executable, "-c", "import time; time.sleep(600)"))
    start_supervisor(settings, [sleeping], {})
    supervisor = connect_supervisor(settings)
    assert supervisor is not None
    supervisor.startProcess("runner", False)
    wait_for(
        lambda: len(supervised_processes(settings)) == 2,
        what="supervisor and program run",
        seconds=20,
    )
    down(settings)
    assert supervised_processes(settings) == []
