"""Client of the embedder service."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager

import aiohttp
import msgspec
import numpy as np

from bentos.embedder.contract import EMBED, EMBED_IN_PASSING, HITS, Embedded, EmbedderStats
from bentos.embedder.heartbeat import Address, Heartbeat
from core.errors import EmbedderUnavailable

# Below uvicorn's keep-alive of 5 s, so that no request uses a connection that is being closed.
IDLE_SECONDS = 2.0


def embedder_address(environment: Mapping[str, str]) -> str:
    """Return where `bentoml serve` put the embedder: a `file://` or `tcp://` address."""
    address = json.loads(environment.get("BENTOML_RUNNER_MAP", "{}")).get("Embedder")
    if address is None:
        raise EmbedderUnavailable(
            "an embedder service beside this one",
            came="none in BENTOML_RUNNER_MAP",
            do="start both with `bentoml serve`",
        )
    return str(address)


class RemoteEmbedder:
    """Client of the embedder service. Connections are pooled; for one event loop.

    The socket of a dead embedder still takes connections, because its supervisor holds it open: a
    request would wait there. Therefore a heartbeat reports whether the process lives. While it does
    not, every call fails at once, and so do those in progress when it dies. No call takes longer
    than `seconds`.
    """

    def __init__(self, address: str, *, dimensions: int, seconds: float) -> None:
        self._address = Address.parse(address)
        self._row_bytes = 4 * dimensions
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._session: aiohttp.ClientSession | None = None
        self.heartbeat = Heartbeat(self._address, seconds=seconds, on_death=self._hang_up)

    async def embed(
        self, cleaned: Sequence[str], *, keep: bool = True
    ) -> AsyncGenerator[Embedded, None]:
        """Yield the hits, then the rest. Raises `EmbedderUnavailable`, after `seconds` at most."""
        path = EMBED if keep else EMBED_IN_PASSING
        async with self._post(path, msgspec.json.encode(cleaned)) as response:
            flags = response.headers[HITS]
            for flag in "10":
                places = [place for place, hit in enumerate(flags) if hit == flag]
                if places:
                    data = await response.content.readexactly(len(places) * self._row_bytes)
                    vectors = np.frombuffer(data, np.float32).reshape(len(places), -1)
                    yield Embedded(places, vectors, flag == "1")

    def stats(self) -> EmbedderStats | None:
        """Return the last report of the embedder; None when it does not live."""
        if not self.heartbeat.alive:
            return None
        return msgspec.json.decode(self.heartbeat.last_stats, type=EmbedderStats)

    async def close(self) -> None:
        """Close every connection."""
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
            self._session = aiohttp.ClientSession(
                connector=_connector(self._address.path), timeout=self._timeout
            )
        return self._session

    def _hang_up(self) -> None:
        """Make every call in progress fail now."""
        if self._session is not None and self._session.connector is not None:
            self._session.connector.close()
            self._session = None


def _connector(path: str | None) -> aiohttp.BaseConnector:
    if path:
        return aiohttp.UnixConnector(path, limit=64, keepalive_timeout=IDLE_SECONDS)
    return aiohttp.TCPConnector(limit=64, keepalive_timeout=IDLE_SECONDS)


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
