"""Checks that the ports of the settings are free."""

from __future__ import annotations

import socket
from collections.abc import Iterable

import psutil

from core.errors import PortTaken, SettingsError
from core.settings import Settings
from machine.programs import Program

OTHERS = -1


def check_ports(settings: Settings, programs: Iterable[Program]) -> None:
    """Raise `PortTaken` for the first port that cannot be bound.

    The error names its setting and, if it can be found out, the process that uses the port. Raises
    `SettingsError` when the host is not an address of this machine.
    """
    _require_own_address(settings.host)
    for program in programs:
        if program.port is not None and not port_is_free(settings.host, program.port):
            raise _taken(settings, program, describe_listener(program.port))


def stranger_at(settings: Settings, program: Program, pid: int) -> str:
    """Return the process that holds the program's port, "" unless it is another one.

    Parameters
    ----------
    pid : the program's process; those that it started belong to it.
    """
    if program.port is None:
        return ""
    pids = _listeners(program.port)
    try:
        process = psutil.Process(pid)
        own = {pid, *(child.pid for child in process.children(recursive=True))}
    except psutil.Error:
        own = {pid}
    if not pids or pids & own or port_is_free(settings.host, program.port):
        return ""
    return describe_listener(program.port)


def refuse_stranger(settings: Settings, program: Program, pid: int) -> None:
    """Raise `PortTaken` when another process holds the port of a program that is starting."""
    if stranger := stranger_at(settings, program, pid):
        raise _taken(settings, program, stranger)


def _taken(settings: Settings, program: Program, holder: str) -> PortTaken:
    return PortTaken(
        f"port {program.port} of {settings.host} to be free for {program.name}",
        came=f"a port used by {holder}",
        do=f"stop that, or set {program.setting} to a free port",
    )


def _listeners(port: int) -> set[int]:
    """Return the processes that listen on a port; OTHERS stands for those of other users."""
    try:
        return {
            connection.pid or OTHERS
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        }
    except (psutil.Error, OSError):  # this system does not say
        return set()


def _require_own_address(host: str) -> None:
    try:
        _bind(host, 0)
    except (OSError, UnicodeError) as error:
        problem = f"{host}: {getattr(error, 'strerror', None) or error}"
        raise SettingsError(
            "PERENNIAL_HOST to be an address of this machine",
            came=problem,
            do="correct PERENNIAL_HOST",
        ) from None


def port_is_free(host: str, port: int) -> bool:
    """Return True when the port can be bound."""
    try:
        _bind(host, port)
    except OSError:
        return False
    return True


def _bind(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def describe_listener(port: int) -> str:
    """Return `python3 (pid 4711)`, or "an unknown process" for a process of another user."""
    try:
        pids = sorted(pid for pid in _listeners(port) if pid != OTHERS)
        names = [f"{psutil.Process(pid).name()} (pid {pid})" for pid in pids]
    except psutil.Error:
        names = []
    return ", ".join(names) or "an unknown process"
