"""Client of the embedder service."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager

import aiohttp
import msgspec
import numpy as np

from bentos.embedder.contract import EMBED, HITS, Embedded, EmbedderStats
from bentos.embedder.heartbeat import Address, Heartbeat
from core.errors import EmbedderUnavailable

IDLE_SECONDS = 2.0  # below uvicorn's keep-alive of 5 s, so that no request meets a connection that is just being closed


def embedder_address(environment: Mapping[str, str]) -> str:
    """Where `bentoml serve` put the embedder: a `file://` or `tcp://` address."""
    address = json.loads(environment.get("BENTOML_RUNNER_MAP", "{}")).get("Embedder")
    if address is None:
        came = "none in BENTOML_RUNNER_MAP"
        raise EmbedderUnavailable(
            "an embedder service beside this one", came=came, do="start both with `bentoml serve`"
        )
    return str(address)


class RemoteEmbedder:
    """Client of the embedder service. Connections are pooled; for one event loop.

    A dead embedder's socket still takes connections, which its supervisor holds open: a request would wait there. Therefore a
    lifeline says whether the process lives; while it does not, every call fails at once, and so do those in flight when it dies.
    No call takes longer than `seconds`.
    """

    def __init__(self, address: str, *, dimensions: int, seconds: float) -> None:
        self._address, self._row_bytes = Address.parse(address), 4 * dimensions
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._session: aiohttp.ClientSession | None = None
        self.heartbeat = Heartbeat(self._address, seconds=seconds, on_death=self._hang_up)

    async def embed(self, cleaned: Sequence[str]) -> AsyncGenerator[Embedded, None]:
        """Give the hits, then the rest. Raises `EmbedderUnavailable` when there is no good answer in time."""
        async with self._post(EMBED, msgspec.json.encode(cleaned)) as response:
            flags = response.headers[HITS]
            for flag in "10":
                places = [place for place, found in enumerate(flags) if found == flag]
                if places:
                    data = await response.content.readexactly(len(places) * self._row_bytes)
                    yield Embedded(
                        places,
                        np.frombuffer(data, np.float32).reshape(len(places), -1),
                        flag == "1",
                    )

    def stats(self) -> EmbedderStats | None:
        """What the embedder said a moment ago; None when it does not live."""
        return (
            msgspec.json.decode(self.heartbeat.told, type=EmbedderStats)
            if self.heartbeat.alive
            else None
        )

    async def close(self) -> None:
        """Let go of every connection."""
        await self.heartbeat.stop()
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def _post(self, path: str, data: bytes) -> AsyncIterator[aiohttp.ClientResponse]:
        if not self.heartbeat.alive:
            raise _unavailable("no living process")
        with _named_errors():
            async with self._opened().post(self._address.base_url + path, data=data) as response:
                if response.status != 200:
                    raise _unavailable(f"status {response.status}")
                yield response

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            path = self._address.path
            connector: aiohttp.BaseConnector = (
                aiohttp.UnixConnector(path, limit=64, keepalive_timeout=IDLE_SECONDS)
                if path
                else aiohttp.TCPConnector(limit=64, keepalive_timeout=IDLE_SECONDS)
            )
            self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        return self._session

    def _hang_up(self) -> None:
        """Every call in flight fails now."""
        if self._session is not None and self._session.connector is not None:
            self._session.connector.close()
            self._session = None


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, OSError, EOFError, TimeoutError) as error:
        raise _unavailable(f"{type(error).__name__} {error}") from None


def _unavailable(came: str) -> EmbedderUnavailable:
    return EmbedderUnavailable(
        "an answer of the embedder service", came=came.strip(), do="try again in a second"
    )
