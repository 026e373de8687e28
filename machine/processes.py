"""`up`, `down`, `status`: all processes of one machine under one supervisor."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import psutil

from core.embedded import holders, postmaster, stop_server
from core.errors import Busy
from core.settings import Settings, require_home
from machine.environment import child_settings, flow_environment
from machine.health import is_ready
from machine.ports import check_ports
from machine.programs import Program, folders, further_services, list_programs, newest_bento
from machine.startup import ALIVE, Report, bring_up, tail
from machine.supervision import (
    connect_supervisor,
    log_file,
    private_folder,
    program_states,
    render_configuration,
    start_supervisor,
    supervised_processes,
    supervisor_folder,
)

PATIENCE_SECONDS = (
    900.0  # `up` waits up to 300 s for its slowest program, and programs start side by side
)
NO_BENTO = "no bento yet: `perennial retrain` builds the first"


@dataclass(frozen=True)
class ProgramStatus:
    """What is true of one program. `state`: "ready", "starting", "failed", "waiting" (for the first bento) or "down"."""

    name: str
    does: str
    state: str
    address: str
    pid: int | None
    log: Path
    detail: str = ""


def up(settings: Settings, *, report: Report = print) -> list[ProgramStatus]:
    """Start what does not run yet, and return when all of it is ready. An interrupt stops what it has started.

    Raises `SettingsError`, `PortTaken`, `DatabaseUnreachable`, `Busy`, or `ProcessFailed` with the end of the log of the program that died.
    """
    with _one_at_a_time(settings):
        if connect_supervisor(settings) is not None and _started_with(settings) != _fingerprint(
            settings
        ):
            report("the settings have changed: starting anew")
            _down(settings, report)
        anew = connect_supervisor(settings) is None
        try:
            if anew:
                _start_anew(settings, report)
            bring_up(settings, _wanted(settings), report=report)
        except KeyboardInterrupt:
            if anew:
                _down(settings, report)
            raise
    return status(settings)


def down(settings: Settings, *, report: Report = print) -> list[int]:
    """Stop all that `up` started; return the ids of the processes that ended.

    PostgreSQL stays up while another command holds it, and stops with that command. Raises `Busy` when another `up` or
    `down` does not end.
    """
    with _one_at_a_time(settings):
        return _down(settings, report)


def status(settings: Settings) -> list[ProgramStatus]:
    """The truth of each program: what its supervisor knows, and its own answer."""
    states = program_states(settings)
    programs = [
        _status_of(settings, program, states.get(program.name))
        for program in list_programs(settings)
    ]
    return programs + [
        _status_of(settings, service, states.get("service"))
        for service in further_services(settings)
    ]


def ensure_service(settings: Settings) -> bool:
    """Start the service where `perennial up` runs without it: it waited for the first bento. Does not wait until it is ready."""
    supervisor = connect_supervisor(settings)
    if supervisor is None or supervisor.getProcessInfo("service")["statename"] in ALIVE:
        return False
    return bool(supervisor.startProcess("service", False))


def restart_service(settings: Settings, *, report: Report = print) -> bool:
    """Let the service take the newest bento; False when `perennial up` does not run. Raises `ProcessFailed`."""
    supervisor = connect_supervisor(settings)
    if supervisor is None or newest_bento(settings) is None:
        return False
    if supervisor.getProcessInfo("service")["statename"] in ALIVE:
        supervisor.stopProcess("service")
    bring_up(
        settings,
        [program for program in list_programs(settings) if program.name == "service"],
        report=report,
    )
    return True


def _start_anew(settings: Settings, report: Report) -> None:
    """Start supervisord, over what a killed one may have left."""
    from core.database import open_database

    _end(supervised_processes(settings), seconds=0)
    programs = list_programs(settings)
    check_ports(settings, (*programs, *further_services(settings)))
    for folder in folders(settings):
        folder.mkdir(parents=True, exist_ok=True)
    report("opening the database")
    with open_database(settings) as urls:
        start_supervisor(
            settings,
            programs,
            flow_environment(settings, urls, server=True) | child_settings(settings, urls),
        )
        _fingerprint_file(settings).write_text(_fingerprint(settings))
        bring_up(
            settings, [program for program in programs if program.name == "postgres"], report=report
        )  # it holds its own handle now


def _wanted(settings: Settings) -> list[Program]:
    return [
        program
        for program in list_programs(settings)
        if program.name != "service" or newest_bento(settings) is not None
    ]


def _down(settings: Settings, report: Report) -> list[int]:
    supervisor, running, server = (
        connect_supervisor(settings),
        supervised_processes(settings),
        postmaster(settings.home / "postgres"),
    )
    if supervisor is not None:
        report("stopping")
        _stop_programs(settings, supervisor)
        supervisor.shutdown()
    _end(running, seconds=20 if supervisor is not None else 0)  # orphans do not end by themselves
    _end(supervised_processes(settings), seconds=0)  # what started while the rest was stopping
    if _stop_postgres(settings, report) and server:
        running.append(server)
    return sorted(process.pid for process in running)


def _stop_postgres(settings: Settings, report: Report) -> bool:
    """Stop the embedded server unless somebody else's command works with it; True when it is down."""
    folder = settings.home / "postgres"
    others = [pid for pid in holders(folder) if pid != os.getpid()] if postmaster(folder) else []
    if others:
        report(f"PostgreSQL stays up for {_describe(others)}, and stops with it")
        return False
    stop_server(folder)
    return True


def _describe(pids: Iterable[int]) -> str:
    """`perennial retrain (pid 4711)`: the last words of each command line."""
    told = []
    for pid in pids:
        with suppress(psutil.Error):
            words = [
                Path(word).name
                for word in psutil.Process(pid).cmdline()[1:4]
                if not word.startswith("-")
            ]
            told.append(f"{' '.join(words) or 'a process'} (pid {pid})")
    return ", ".join(told) or "a process"


def _stop_programs(settings: Settings, supervisor: Any) -> None:
    """The runner with its flow runs first, while their server is there; PostgreSQL last; the others side by side."""
    states = program_states(settings)
    flow_runs = _descendants(states["runner"]["pid"])
    for group in ({"runner"}, states.keys() - {"runner", "postgres"}):
        for name in group:
            if states[name]["statename"] in ALIVE:
                supervisor.stopProcess(name, False)
        _wait_for(partial(_all_ended, supervisor, group), seconds=40)
        _end(flow_runs, seconds=0)


def _all_ended(supervisor: Any, names: Iterable[str]) -> bool:
    return not any(supervisor.getProcessInfo(name)["pid"] for name in names)


def _descendants(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True) if pid else []
    return []


def _end(processes: Iterable[psutil.Process], *, seconds: float) -> None:
    """Wait for the processes to end; ask those that stay, then kill them."""
    _, alive = psutil.wait_procs(list(processes), timeout=seconds)
    for ask in ("terminate", "kill"):
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                getattr(process, ask)()
        _, alive = psutil.wait_procs(alive, timeout=10)


def _status_of(settings: Settings, program: Program, info: dict[str, Any] | None) -> ProgramStatus:
    address = program.url or (str(settings.home / "postgres") if program.name == "postgres" else "")
    log, pid = (
        log_file(settings, (info or {}).get("name") or program.name),
        (info or {}).get("pid") or None,
    )
    state, detail = _judge(settings, program, info, log)
    return ProgramStatus(
        name=program.name,
        does=program.does,
        state=state,
        address=address,
        pid=pid,
        log=log,
        detail=detail,
    )


def _judge(
    settings: Settings, program: Program, info: dict[str, Any] | None, log: Path
) -> tuple[str, str]:
    if info is None:
        return "down", _who_else(settings) if program.name == "postgres" else ""
    if info["statename"] in ALIVE:
        return (
            ("ready", "")
            if is_ready(settings, program, info["pid"])
            else ("starting", "runs, but does not answer yet")
        )
    if info["statename"] in ("STOPPED", "STOPPING"):
        return (
            ("waiting", NO_BENTO)
            if info["name"] == "service" and newest_bento(settings) is None
            else ("down", "stopped")
        )
    return "failed", tail(log, lines=1)


def _who_else(settings: Settings) -> str:
    server = postmaster(settings.home / "postgres")
    return f"runs as {server.pid} for a command of its own" if server else ""


def _fingerprint(settings: Settings) -> str:
    """Changes with anything that the programs were started with."""
    told = f"{settings.model_dump()}{render_configuration(settings, list_programs(settings))}{_params_text(settings)}"
    for secret in (
        settings.database_url,
        settings.prefect_database_url,
        settings.mlflow_database_url,
        settings.source_url,
    ):
        told += secret.get_secret_value() if secret else "-"
    return hashlib.sha256(told.encode()).hexdigest()


def _params_text(settings: Settings) -> str:
    """A new block wants deployments of its own."""
    path = settings.repository / "params.yaml"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _fingerprint_file(settings: Settings) -> Path:
    return supervisor_folder(settings) / "started-with"


def _started_with(settings: Settings) -> str:
    path = _fingerprint_file(settings)
    return path.read_text() if path.is_file() else ""


@contextmanager
def _one_at_a_time(settings: Settings, *, seconds: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Two `up` or `down` of one home wait for each other; raise `Busy` naming the other when it does not end."""
    require_home(settings)
    path = private_folder(supervisor_folder(settings)) / "lock"
    with path.open("a+") as lock:
        if not _wait_for(lambda: _locked(lock), seconds=seconds):
            came = f"process {path.read_text().strip() or 'unknown'}, which still runs after {seconds:.0f} s"
            raise Busy(
                "no other `perennial up` or `down` of this home",
                came=came,
                do="wait for it, or end it",
            )
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _wait_for(condition: Callable[[], bool], *, seconds: float) -> bool:
    """True as soon as the condition holds, False after the deadline."""
    deadline = time.monotonic() + seconds
    while not (held := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return held
