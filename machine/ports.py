"""Are the ports of the settings free?"""

from __future__ import annotations

import socket
from collections.abc import Iterable

import psutil

from core.errors import PortTaken, SettingsError
from core.settings import Settings
from machine.programs import Program


def check_ports(settings: Settings, programs: Iterable[Program]) -> None:
    """Raise `PortTaken` for the first port that cannot be bound, naming its setting and, where it can be known, the process.

    Raises `SettingsError` when no port of the host could be.
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
    """True when the port can be bound."""
    try:
        _bind(host, port)
    except OSError:
        return False
    return True


def _bind(host: str, port: int) -> None:
    with socket.socket(
        socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM
    ) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def describe_listener(port: int) -> str:
    """`python3 (pid 4711)`, or "an unknown process": other users' processes may not be looked at."""
    try:
        pids = {
            c.pid
            for c in psutil.net_connections("tcp")
            if c.status == psutil.CONN_LISTEN and c.laddr.port == port and c.pid
        }
        names = [f"{psutil.Process(pid).name()} (pid {pid})" for pid in sorted(pids)]
    except (psutil.Error, OSError):
        names = []
    return ", ".join(names) or "an unknown process"
