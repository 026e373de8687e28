"""The wire between the two services: cleaned phrases as JSON one way, float32 bytes the other, on a private unix socket.

BentoML's own calls between services unpickle their bodies; the embedder therefore has this one route and no API method.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import aiohttp
import msgspec
import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bentos.caches import EmbeddingCache
from core.errors import EmbedderUnavailable
from core.logs import get_logger

HITS = "x-hits"
IDLE_SECONDS = 2.0  # below uvicorn's keep-alive of 5 s, so that no request meets a connection that is just being closed
ANSWER_SECONDS = 3.0  # below the services' traffic timeout of 5 s, so that the error is ours

_decode_phrases = msgspec.json.Decoder(list[str]).decode


class EmbedderStats(msgspec.Struct):
    """What the embedder's cache did since its process started."""

    hits: int
    misses: int
    evictions: int
    computed: int
    size: int


@dataclass(frozen=True, slots=True)
class Embedded:
    """`vectors` float32 (n, d), and for each phrase whether its embedding was found in the embedder's cache."""

    vectors: np.ndarray
    hits: Sequence[bool]


def embedding_app() -> Starlette:
    """The routes of the embedder service, which sets `app.state.cache` once the model is loaded."""
    return Starlette(routes=[Route("/embed", _embed, methods=["POST"]), Route("/stats", _stats, methods=["GET"])])


async def _embed(request: Request) -> Response:
    cache: EmbeddingCache = request.app.state.cache
    try:
        vectors, hits = await cache.vectors(_decode_phrases(await request.body()))
    except Exception as error:
        get_logger().error("embedding", state="failed", error=f"{type(error).__name__}: {error}")
        return Response(status_code=503)
    return Response(b"".join(vectors), headers={HITS: "".join("01"[hit] for hit in hits)}, media_type="application/octet-stream")


async def _stats(request: Request) -> Response:
    cache: EmbeddingCache = request.app.state.cache
    counts = cache.counts
    stats = EmbedderStats(counts.hits, counts.misses, counts.evictions, cache.computed, len(cache))
    return Response(msgspec.json.encode(stats), media_type="application/json")


def embedder_address(environment: Mapping[str, str]) -> str:
    """Where `bentoml serve` put the embedder: a `file://` or `tcp://` address."""
    address = json.loads(environment.get("BENTOML_RUNNER_MAP", "{}")).get("Embedder")
    if address is None:
        came = "none in BENTOML_RUNNER_MAP"
        raise EmbedderUnavailable("an embedder service beside this one", came=came, do="start both with `bentoml serve`")
    return str(address)


class RemoteEmbedder:
    """Client of the embedder service. Connections are pooled; for one event loop."""

    def __init__(self, address: str, *, timeout: float = ANSWER_SECONDS) -> None:
        parts = urlsplit(address)
        self._socket = unquote(parts.path) if parts.scheme == "file" else None
        self._base = "http://embedder" if self._socket else f"http://{parts.netloc}"
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def embed(self, cleaned: Sequence[str]) -> Embedded:
        """Raises `EmbedderUnavailable` when there is no good answer in time."""
        body, headers = await self._call("POST", "/raw/embed", data=msgspec.json.encode(cleaned))
        vectors = np.frombuffer(body, np.float32).reshape(len(cleaned), -1)
        return Embedded(vectors, [flag == "1" for flag in headers[HITS]])

    async def stats(self) -> EmbedderStats:
        """Raises `EmbedderUnavailable`."""
        body, _ = await self._call("GET", "/raw/stats")
        return msgspec.json.decode(body, type=EmbedderStats)

    async def is_ready(self) -> bool:
        try:
            await self.stats()
        except EmbedderUnavailable:
            return False
        return True

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _call(self, method: str, path: str, data: bytes | None = None) -> tuple[bytes, Mapping[str, str]]:
        try:
            with suppress(aiohttp.ServerDisconnectedError):  # an idle connection that died: asking twice does no harm
                return await self._try(method, path, data)
            return await self._try(method, path, data)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _unavailable(f"{type(error).__name__} {error}") from None

    async def _try(self, method: str, path: str, data: bytes | None) -> tuple[bytes, Mapping[str, str]]:
        async with self._opened().request(method, self._base + path, data=data) as response:
            if response.status != 200:
                raise _unavailable(f"status {response.status}")
            return await response.read(), response.headers

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = (
                aiohttp.UnixConnector(self._socket, limit=64, keepalive_timeout=IDLE_SECONDS)
                if self._socket
                else aiohttp.TCPConnector(limit=64, keepalive_timeout=IDLE_SECONDS)
            )
            self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        return self._session


def _unavailable(came: str) -> EmbedderUnavailable:
    return EmbedderUnavailable("an answer of the embedder service", came=came.strip(), do="try again in a second")
