"""Connections that do not finish the head of a request are closed: uvicorn waits for one for ever, and each costs a file descriptor.

A guest with a thousand half requests would otherwise keep everybody out. A look around every second costs a request nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from core.logs import get_logger

HEAD_SECONDS = 10.0  # above uvicorn's keep-alive of 5 s, which ends those that are merely silent after an answer
LOOK_SECONDS = 1.0


class SlowClients:
    """Remembers since when a connection waits for a head. `cycle` of a connection is its newest request, None before the first."""

    def __init__(self, *, seconds: float = HEAD_SECONDS) -> None:
        self._seconds = seconds
        self._waiting: WeakKeyDictionary[Any, tuple[Any, float]] = WeakKeyDictionary()

    def look(self, connections: Iterable[Any], *, now: float) -> int:
        """Close those that have waited for too long; return how many."""
        closed = 0
        for connection in list(connections):
            cycle = connection.cycle
            if cycle is not None and not cycle.response_complete:
                self._waiting.pop(connection, None)
                continue
            last, since = self._waiting.get(connection, (None, now))
            if connection not in self._waiting or last is not cycle:
                self._waiting[connection] = (cycle, now)
            elif now - since > self._seconds:
                connection.transport.close()
                closed += 1
        return closed


async def close_the_silent() -> None:
    """Look around until cancelled, at every connection that uvicorn accepts in this process from now on."""
    patience, connections = SlowClients(), _known_connections()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if closed := patience.look(connections, now=time.monotonic()):
            get_logger().warning("connections", state="closed before they asked", count=closed)


def _known_connections() -> set[Any]:
    """The set in which uvicorn keeps its connections has no name from outside: the class tells it at the first one."""
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    known: set[Any] = set()
    protocol: Any = AutoHTTPProtocol
    made, lost = protocol.connection_made, protocol.connection_lost

    def connection_made(self: Any, transport: asyncio.Transport) -> None:
        made(self, transport)
        known.add(self)

    def connection_lost(self: Any, exc: Exception | None) -> None:
        lost(self, exc)
        known.discard(self)

    protocol.connection_made, protocol.connection_lost = connection_made, connection_lost
    return known
