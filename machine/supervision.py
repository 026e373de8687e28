"""Runs `supervisor` (the PyPI package) under `home/supervisor`.

Its configuration, its start, a client of it, and the processes that it started.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
import tempfile
import xmlrpc.client
from collections.abc import Iterable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psutil

from core.errors import ProcessFailed
from core.inherited_environment import inherited
from core.settings import REPOSITORY, Settings
from machine.programs import Program

MARK = "PERENNIAL_SUPERVISED"
LONGEST_SOCKET = 90  # the limit is 107 bytes, and supervisor binds `<socket>.<pid>` first
SERVER = """\
[unix_http_server]
file={socket}
chmod=0700

[supervisord]
logfile={logs}/supervisord.log
logfile_maxbytes=5MB
logfile_backups=2
pidfile={folder}/supervisord.pid
identifier=perennial
childlogdir={logs}
directory={work}
umask=077
minfds=1024
{user}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
PROGRAM = """
[program:{name}]
command={command}
priority={priority}
autostart=false
autorestart=true
startsecs=10
startretries=3
stopsignal={stop_signal}
stopwaitsecs=30
stopasgroup={stop_group}
killasgroup=true
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=3
"""


def supervisor_folder(settings: Settings) -> Path:
    """Return the folder of supervisord's configuration and state."""
    return settings.home / "supervisor"


def log_file(settings: Settings, name: str) -> Path:
    """Return the file that a program's output goes to, rotated."""
    return settings.home / "logs" / f"{name}.log"


def socket_file(settings: Settings) -> Path:
    """Return a path under home, or in a short private folder when that is too long for a socket."""
    near = supervisor_folder(settings) / "supervisor.sock"
    if len(os.fsencode(near)) <= LONGEST_SOCKET:
        return near
    digest = hashlib.sha256(os.fsencode(settings.home.resolve())).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"perennial-{os.getuid()}-{digest}" / "s"


def render_configuration(settings: Settings, programs: Iterable[Program]) -> str:
    """Return the text of supervisord.conf, without secrets: those are in its environment."""
    folder = supervisor_folder(settings)
    server = SERVER.format(
        socket=_literal(socket_file(settings)),
        logs=_literal(settings.home / "logs"),
        folder=_literal(folder),
        work=_literal(settings.home / "prefect"),
        user="user=root\n" if os.getuid() == 0 else "",
    )
    return server + "".join(
        _render_program(settings, program, position)
        for position, program in enumerate(programs, start=1)
    )


def start_supervisor(
    settings: Settings, programs: Iterable[Program], environment: Mapping[str, str]
) -> None:
    """Start supervisord detached; it starts no program by itself. Raises `ProcessFailed`."""
    text = render_configuration(settings, programs)
    configuration = _write_private(supervisor_folder(settings) / "supervisord.conf", text)
    private_folder(socket_file(settings).parent)
    private_folder(settings.home / "logs")
    (settings.home / "prefect").mkdir(parents=True, exist_ok=True)
    started = subprocess.run(
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)],
        check=False,
        capture_output=True,
        text=True,
        env={
            **inherited(os.environ, credentials=True),
            "PYTHONPATH": str(REPOSITORY),  # the programs work in another folder
            **environment,
            MARK: mark(settings),
        },
        umask=0o077,
        cwd=REPOSITORY,
        timeout=60,
    )
    if started.returncode != 0:
        output = (started.stderr or started.stdout).strip().splitlines()
        raise ProcessFailed(
            "supervisord to start",
            came=output[-1] if output else f"exit code {started.returncode}",
            do=f"see {log_file(settings, 'supervisord')}",
        )


def connect_supervisor(settings: Settings) -> Any | None:
    """Return the RPC proxy (`proxy.supervisor.…`), or None when supervisord does not run."""
    from supervisor.xmlrpc import SupervisorTransport

    proxy = xmlrpc.client.ServerProxy(
        "http://supervisor",
        transport=SupervisorTransport(None, None, f"unix://{socket_file(settings)}"),
    )
    try:
        proxy.supervisor.getState()
    except (OSError, HTTPException, xmlrpc.client.Error):
        return None
    return proxy.supervisor


def program_states(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return supervisor's information on each program, by name; empty when it does not run."""
    supervisor = connect_supervisor(settings)
    if supervisor is None:
        return {}
    return {info["name"]: info for info in supervisor.getAllProcessInfo()}


def supervised_processes(settings: Settings) -> list[psutil.Process]:
    """Return every live process that a supervisord of this home has started.

    A mark in the environment identifies them, even after supervisord itself has died.
    """
    home = mark(settings)
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid() and _is_marked(process, home)
    ]


def _is_marked(process: psutil.Process, home: str) -> bool:
    try:
        marked = process.environ().get(MARK) == home
        return marked and bool(process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, OSError):  # it has ended, or belongs to another user
        return False


def mark(settings: Settings) -> str:
    """Return the word in the environment of every process that `up` of this home started."""
    return str(settings.home.resolve())


def _render_program(settings: Settings, program: Program, position: int) -> str:
    return PROGRAM.format(
        name=program.name,
        command=_literal(shlex.join(program.command)),
        priority=position,
        log=_literal(log_file(settings, program.name)),
        stop_group=str(program.stop_group).lower(),
        stop_signal=program.stop_signal,
    )


def _literal(value: object) -> str:
    """Escape `%`, which starts an expansion in supervisor's files."""
    return str(value).replace("%", "%%")


def private_folder(folder: Path) -> Path:
    """Create a folder that only its owner can read, and return it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise ProcessFailed(
            f"a folder of this user at {folder}", came="a folder of another user", do="remove it"
        )
    return folder


def _write_private(path: Path, text: str) -> Path:
    private_folder(path.parent)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return path
