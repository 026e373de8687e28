"""Stops what `up` started: the programs in order, their supervisor, and PostgreSQL last."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from core.embedded import holders, postmaster, stop_server
from core.settings import Settings
from machine.exclusive import wait_for
from machine.startup import ALIVE, Report
from machine.supervision import connect_supervisor, program_states, supervised_processes


def stop_everything(settings: Settings, report: Report) -> list[int]:
    """Stop all programs; return the sorted ids of the processes that ended."""
    supervisor = connect_supervisor(settings)
    running = supervised_processes(settings)
    server = postmaster(settings.home / "postgres")
    if supervisor is not None:
        report("stopping")
        _stop_programs(settings, supervisor)
        supervisor.shutdown()

    orphaned = supervisor is None  # without a supervisor nothing asks them to end
    end_processes(running, seconds=0 if orphaned else 20)
    end_processes(supervised_processes(settings), seconds=0)  # those that started meanwhile
    if _stop_postgres(settings, report) and server:
        running.append(server)
    return sorted(process.pid for process in running)


def end_processes(processes: Iterable[psutil.Process], *, seconds: float) -> None:
    """Wait for the processes to end; terminate those that stay, then kill them."""
    _, alive = psutil.wait_procs(list(processes), timeout=seconds)
    for signal in ("terminate", "kill"):
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                getattr(process, signal)()
        _, alive = psutil.wait_procs(alive, timeout=10)


def _stop_programs(settings: Settings, supervisor: Any) -> None:
    """Stop the runner and its flow runs first, then the others side by side, but not PostgreSQL.

    The flow runs need the Prefect server to end well, and all of them need the database.
    """
    states = program_states(settings)
    flow_runs = _descendants(states["runner"]["pid"])
    for group in ({"runner"}, states.keys() - {"runner", "postgres"}):
        for name in group:
            if states[name]["statename"] in ALIVE:
                supervisor.stopProcess(name, False)
        wait_for(partial(_all_ended, supervisor, group), seconds=40)
        end_processes(flow_runs, seconds=0)


def _all_ended(supervisor: Any, names: Iterable[str]) -> bool:
    return not any(supervisor.getProcessInfo(name)["pid"] for name in names)


def _descendants(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True) if pid else []
    return []


def _stop_postgres(settings: Settings, report: Report) -> bool:
    """Stop the embedded server unless another command uses it; return True when it is down."""
    folder = settings.home / "postgres"
    others = [pid for pid in holders(folder) if pid != os.getpid()] if postmaster(folder) else []
    if others:
        report(f"PostgreSQL stays up for {_describe(others)}, and stops with it")
        return False
    stop_server(folder)
    return True


def _describe(pids: Iterable[int]) -> str:
    """Return `perennial retrain (pid 4711)`: the first words of each command line."""
    descriptions = []
    for pid in pids:
        with suppress(psutil.Error):
            arguments = psutil.Process(pid).cmdline()[1:4]
            words = [Path(word).name for word in arguments if not word.startswith("-")]
            descriptions.append(f"{' '.join(words) or 'a process'} (pid {pid})")
    return ", ".join(descriptions) or "a process"
