"""Checks that the ports of the settings are free."""

from __future__ import annotations

import socket
from collections.abc import Iterable

import psutil

from core.errors import PortTaken, SettingsError
from core.settings import Settings
from machine.programs import Program


def check_ports(settings: Settings, programs: Iterable[Program]) -> None:
    """Raise `PortTaken` for the first port that cannot be bound.

    The error names its setting and, if it can be found out, the process that uses the port. Raises
    `SettingsError` when the host is not an address of this machine.
    """
    _require_own_address(settings.host)
    for program in programs:
        if program.port is not None and not port_is_free(settings.host, program.port):
            raise PortTaken(
                f"port {program.port} of {settings.host} for {program.name}",
                came=f"it is used by {describe_listener(program.port)}",
                do=f"stop that, or set {program.setting} to a free port",
            )


def _require_own_address(host: str) -> None:
    try:
        _bind(host, 0)
    except (OSError, UnicodeError) as error:
        came = f"{host}: {getattr(error, 'strerror', None) or error}"
        raise SettingsError(
            "PERENNIAL_HOST to be an address of this machine",
            came=came,
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
        pids = {
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
            and connection.laddr.port == port
            and connection.pid
        }
        names = [f"{psutil.Process(pid).name()} (pid {pid})" for pid in sorted(pids)]
    except (psutil.Error, OSError):
        names = []
    return ", ".join(names) or "an unknown process"
