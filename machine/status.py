"""The status of each program: what its supervisor knows, and what the program itself answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.embedded import postmaster
from core.settings import Settings
from machine.health import is_ready, misses_reports
from machine.ports import stranger_at
from machine.programs import Program, further_services, list_programs, newest_bento
from machine.startup import ALIVE, tail
from machine.supervision import log_file, program_states

BLIND = "does not show new reports: `perennial down`, then `perennial up`"
NO_BENTO = "no bento yet: `perennial retrain` builds the first"


@dataclass(frozen=True)
class ProgramStatus:
    """The status of one program.

    `state` is "ready", "starting", "failed", "waiting" (for the first bento) or "down".
    """

    name: str
    does: str
    state: str
    address: str
    pid: int | None
    log: Path
    detail: str = ""


def status(settings: Settings) -> list[ProgramStatus]:
    """Return the status of every program, then of the services of further groups."""
    states = program_states(settings)
    programs = [
        _status_of(settings, program, states.get(program.name))
        for program in list_programs(settings)
    ]
    services = [
        _status_of(settings, service, states.get("service"))
        for service in further_services(settings)
    ]
    return programs + services


def _status_of(settings: Settings, program: Program, info: dict[str, Any] | None) -> ProgramStatus:
    supervised = info or {}
    log = log_file(settings, supervised.get("name") or program.name)
    state, detail = _judge(settings, program, info, log)
    postgres_folder = str(settings.home / "postgres") if program.name == "postgres" else ""
    return ProgramStatus(
        name=program.name,
        does=program.does,
        state=state,
        address=program.url or postgres_folder,
        pid=supervised.get("pid") or None,
        log=log,
        detail=detail,
    )


def _judge(
    settings: Settings, program: Program, info: dict[str, Any] | None, log: Path
) -> tuple[str, str]:
    """Return state and detail of a program; `info` is None when no supervisor runs it."""
    if info is None:
        return "down", _other_user(settings) if program.name == "postgres" else ""
    if info["statename"] in ALIVE:
        return _judge_alive(settings, program, info["pid"])
    if info["statename"] in ("STOPPED", "STOPPING"):
        if info["name"] == "service" and newest_bento(settings) is None:
            return "waiting", NO_BENTO
        return "down", "stopped"
    return "failed", tail(log, lines=1)


def _judge_alive(settings: Settings, program: Program, pid: int) -> tuple[str, str]:
    """Return state and detail of a program whose process lives."""
    if is_ready(settings, program, pid):
        if program.name == "evidently" and misses_reports(settings):
            return "failed", BLIND
        return "ready", ""
    if stranger := stranger_at(settings, program, pid):
        return "failed", f"port {program.port} is used by {stranger}: set {program.setting}"
    return "starting", "runs, but does not answer yet"


def _other_user(settings: Settings) -> str:
    """Say so when a command of its own runs the embedded server."""
    server = postmaster(settings.home / "postgres")
    return f"runs as process {server.pid} for another command" if server else ""
