"""Free ports, and a home of its own, for tests that start real servers."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from pathlib import Path

from core.settings import Settings, load_settings

PORTS = ("service_port", "prefect_port", "mlflow_port", "evidently_port")


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def own_place(home: Path) -> Settings:
    return load_settings(
        home=home, database_url=None, **dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    )


def free_row(count: int) -> int:
    """The first of so many free ports in a row."""
    while True:
        first = free_ports(1)[0]
        with ExitStack() as stack, suppress(OSError, OverflowError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
