"""Free ports, a home and an environment of its own, for tests that start real servers."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from core.settings import Settings, load_settings

PORTS = ("service_port", "prefect_port", "mlflow_port", "evidently_port", "console_port")
OTHERS_SETTINGS = ("PERENNIAL_", "PREFECT_", "MLFLOW_", "BENTOML_")


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [opened.getsockname()[1] for opened in sockets]


def free_port() -> int:
    return free_ports(1)[0]


def own_ports() -> dict[str, int]:
    """A free port for every program of Perennial: another loop may hold the default ones."""
    return dict(zip(PORTS, free_ports(len(PORTS)), strict=True))


def port_settings() -> dict[str, str]:
    """The same, as environment variables."""
    return {f"PERENNIAL_{name.upper()}": str(port) for name, port in own_ports().items()}


def own_place(home: Path, **settings: Any) -> Settings:
    """Settings of a home with free ports and an embedded database."""
    return load_settings(**{"home": home, "database_url": None, **own_ports(), **settings})


def clean_environment() -> dict[str, str]:
    """This process's environment without settings of Perennial and its programs, or a `PYTHONPATH`.

    The interpreter's own programs come first on the path.
    """
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(OTHERS_SETTINGS) and key != "PYTHONPATH"
    }
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}


def free_row(count: int) -> int:
    """The first of so many free ports in a row."""
    while True:
        first = free_ports(1)[0]
        with ExitStack() as stack, suppress(OSError, OverflowError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
