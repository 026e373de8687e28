"""The HTTP interface behind a real uvicorn, in this process."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from tests.support.processes import wait_until


@contextmanager
def served(app: ASGIApp) -> Iterator[tuple[str, int]]:
    """Yield the address of a server that answers with the app until the block ends."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
        thread.start()
        try:
            wait_until(lambda: server.started, seconds=20, what="uvicorn started")
            yield listener.getsockname()
        finally:
            server.should_exit = True
            thread.join(10)


def ask_raw(address: tuple[str, int], *parts: bytes) -> bytes:
    """Send the parts on one connection, the last with `connection: close`; return what came."""
    received = bytearray()
    with socket.create_connection(address, timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            connection.sendall(part)
        while more := connection.recv(65536):
            received += more
    return bytes(received)
