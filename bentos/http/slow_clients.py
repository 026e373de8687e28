"""Closes connections that do not finish the head of a request.

Uvicorn waits for it without a limit. Each such connection costs a file descriptor: a client with a
thousand half requests would keep everybody else out. A check every second costs a request nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from weakref import WeakKeyDictionary

from bentos.vendor_patches.uvicorn_connections import Connection, Cycle, track_connections
from core.logs import get_logger

# Above uvicorn's keep-alive of 5 s, which ends connections that are merely idle after an answer.
HEAD_SECONDS = 10.0
CHECK_SECONDS = 1.0


class SlowClients:
    """Remembers since when each connection waits for the head of a request."""

    def __init__(self, *, seconds: float = HEAD_SECONDS) -> None:
        self._seconds = seconds
        self._waiting: WeakKeyDictionary[Connection, tuple[Cycle | None, float]] = (
            WeakKeyDictionary()
        )

    def close_expired(self, connections: Iterable[Connection], *, now: float) -> int:
        """Close the connections that have waited for too long; return how many."""
        closed = 0
        for connection in list(connections):
            cycle = connection.cycle
            if cycle is not None and not cycle.response_complete:
                self._waiting.pop(connection, None)
                continue
            last_cycle, since = self._waiting.get(connection, (None, now))
            if connection not in self._waiting or last_cycle is not cycle:
                self._waiting[connection] = (cycle, now)
            elif now - since > self._seconds:
                connection.transport.close()
                closed += 1
        return closed


async def close_slow_clients() -> None:
    """Check every connection that uvicorn accepts in this process from now on, until cancelled."""
    slow_clients = SlowClients()
    connections = track_connections()
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        closed = slow_clients.close_expired(connections, now=time.monotonic())
        if closed:
            get_logger().warning("connections", state="closed before they asked", count=closed)
