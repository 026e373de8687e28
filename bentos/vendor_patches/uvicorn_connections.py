"""The open connections of uvicorn in this process.

Patches uvicorn 0.54.0 (`connection_made` and `connection_lost` of `AutoHTTPProtocol`, and reads
`cycle` and `transport` of its instances). Reason: uvicorn waits for the head of a request without a
limit, and the set in which it keeps its connections cannot be reached from outside.

Remove when uvicorn has a timeout for the head of a request.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol


class Cycle(Protocol):
    """One request of a connection and its response."""

    response_complete: bool


class Transport(Protocol):
    """What can be closed."""

    def close(self) -> None: ...


class Connection(Protocol):
    """A connection of uvicorn. `cycle` is its newest request, None before the first."""

    @property
    def cycle(self) -> Cycle | None: ...

    @property
    def transport(self) -> Transport: ...


def track_connections() -> set[Connection]:
    """Return a set of the open connections that uvicorn accepts in this process from now on."""
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    connections: set[Connection] = set()
    protocol: Any = AutoHTTPProtocol
    original_made = protocol.connection_made
    original_lost = protocol.connection_lost

    def connection_made(self: Any, transport: asyncio.Transport) -> None:
        original_made(self, transport)
        connections.add(self)

    def connection_lost(self: Any, error: Exception | None) -> None:
        original_lost(self, error)
        connections.discard(self)

    protocol.connection_made = connection_made
    protocol.connection_lost = connection_lost
    return connections
