"""Reports whether the process behind a socket lives, within one turn of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from core.logs import get_logger

PING_SECONDS = 2.0  # below uvicorn's keep-alive of 5 s
AGAIN_SECONDS = 0.1
_PING = b"GET /raw/stats HTTP/1.1\r\nhost: embedder\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Address:
    """A unix socket's `path`, or `host` and `port`."""

    path: str | None
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, address: str) -> Address:
        """From BentoML's `file://` or `tcp://`."""
        parts = urlsplit(address)
        if parts.scheme == "file":
            return cls(unquote(parts.path))
        return cls(None, parts.hostname or "127.0.0.1", parts.port or 80)

    @property
    def base_url(self) -> str:
        return "http://embedder" if self.path else f"http://{self.host}:{self.port}"

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises OSError."""
        if self.path:
            return await asyncio.open_unix_connection(self.path)
        return await asyncio.open_connection(self.host, self.port)


class Heartbeat:
    """Holds one connection to the process and sends a request over it every few seconds.

    The kernel ends the connection when the process dies. The first answer on a connection has no
    time limit: while the process is dead, its supervisor's socket keeps the request for the next
    process, whose answer is thus the earliest sign of life. After the first answer, the process
    counts as dead after `seconds` of silence. `last_stats` is the body of the last answer.
    """

    def __init__(self, address: Address, *, seconds: float, on_death: Callable[[], None]) -> None:
        self.last_stats = b""
        self._alive = asyncio.Event()
        self._address = address
        self._seconds = seconds
        self._on_death = on_death
        self._task: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        return self._alive.is_set()

    async def wait(self) -> None:
        """Return when the process lives."""
        await self._alive.wait()

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Close the connection and end."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            with suppress(OSError, EOFError, TimeoutError):
                await self._hold()
            self._set(alive=False)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _hold(self) -> None:
        reader, writer = await self._address.connect()
        try:
            self.last_stats = await _ask(reader, writer)
            self._set(alive=True)
            while not await _ended(reader):
                async with asyncio.timeout(self._seconds):
                    self.last_stats = await _ask(reader, writer)
        finally:
            writer.close()

    def _set(self, *, alive: bool) -> None:
        if self.alive == alive:
            return
        if alive:
            self._alive.set()
            get_logger().info("embedder", state="answers")
        else:
            self._alive.clear()
            get_logger().error("embedder", state="gone")
            self._on_death()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(_PING)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    _, _, length = head.partition(b"content-length:")
    body = await reader.readexactly(int(length.split(b"\r\n", 1)[0]))
    if not head.startswith(b"http/1.1 200"):
        raise EOFError
    return body


async def _ended(reader: asyncio.StreamReader) -> bool:
    """Wait for the end of the connection, for the time between two questions."""
    try:
        async with asyncio.timeout(PING_SECONDS):
            return await reader.read(1) == b""
    except TimeoutError:
        return False
