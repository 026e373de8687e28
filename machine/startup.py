"""Starts programs under a running supervisor, each after the ones it needs, until all are ready."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, BinaryIO

from core.errors import ProcessFailed
from core.logs import redact
from core.settings import Settings
from machine.health import is_ready
from machine.ports import refuse_stranger
from machine.programs import Program
from machine.supervision import connect_supervisor, log_file

Report = Callable[[str], None]
ALIVE = frozenset({"STARTING", "RUNNING"})
DEAD = frozenset({"BACKOFF", "EXITED", "FATAL"})
TAIL_LINES = 15
TAIL_BYTES = 20_000


def bring_up(settings: Settings, programs: Iterable[Program], *, report: Report) -> None:
    """Return when all programs are ready.

    Raises `ProcessFailed` for the first program that ends, or is not ready in its time, which
    begins with its start: a program that waits for others is not late.
    """
    waiting = {program.name: program for program in programs}
    started: dict[str, float] = {}
    began = time.monotonic()

    while waiting:
        supervisor = _supervisor(settings)
        for name, program in list(waiting.items()):
            state = supervisor.getProcessInfo(name)
            if _may_start(state, program, waiting, started):
                supervisor.startProcess(name, False)
                started[name] = time.monotonic()
            elif state["statename"] in ALIVE and is_ready(settings, program, state["pid"]):
                if name in started:
                    report(f"{name} is ready after {time.monotonic() - began:.0f} s")
                del waiting[name]
            elif name in started or state["statename"] in ALIVE:
                seconds = time.monotonic() - started.get(name, began)
                _refuse_the_dead(settings, program, state, seconds=seconds, started=started)
        time.sleep(0.25)


def tail(path: Path, *, lines: int = TAIL_LINES) -> str:
    """Return the last lines of a log, each of them whole, without passwords."""
    try:
        with path.open("rb") as file:
            text = _ending(file, lines).decode("utf-8", "replace")
    except OSError:
        return "(no log)"
    return redact("\n".join(text.splitlines()[-lines:]))


def _ending(file: BinaryIO, lines: int) -> bytes:
    """Return the end of a file that holds so many whole lines, or all of it."""
    size = file.seek(0, os.SEEK_END)
    wanted = TAIL_BYTES
    while True:
        file.seek(max(0, size - wanted))
        ending = file.read()
        if wanted >= size or ending.count(b"\n") > lines:
            return ending
        wanted *= 2


def _may_start(
    state: dict[str, Any],
    program: Program,
    waiting: Collection[str],
    started: Collection[str],
) -> bool:
    return (
        program.name not in started
        and state["statename"] not in ALIVE
        and not set(program.needs) & set(waiting)
    )


def _refuse_the_dead(
    settings: Settings,
    program: Program,
    state: dict[str, Any],
    *,
    seconds: float,
    started: Collection[str],
) -> None:
    if program.name in started and state["statename"] in DEAD:
        refuse_stranger(settings, program, state["pid"])
        raise _failed(settings, program, wanted="to start", came="an ended process")
    if seconds > program.ready_seconds:
        raise _failed(
            settings,
            program,
            wanted=f"to be ready within {program.ready_seconds:.0f} s",
            came="no answer",
        )


def _failed(settings: Settings, program: Program, *, wanted: str, came: str) -> ProcessFailed:
    log = log_file(settings, program.name)
    return ProcessFailed(
        f"{program.name} {wanted}",
        came=f"{came}; {log} ends with:\n{tail(log)}\n",
        do="correct that and run `perennial up`",
    )


def _supervisor(settings: Settings) -> Any:
    supervisor = connect_supervisor(settings)
    if supervisor is None:
        raise ProcessFailed(
            "supervisord to run",
            came="an ended process",
            do=f"see {log_file(settings, 'supervisord')}",
        )
    return supervisor
