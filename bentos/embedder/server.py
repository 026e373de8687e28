"""The embedder service: cleaned phrases as JSON in, float32 bytes out, on a private unix socket.

BentoML's own calls between services unpickle their bodies; the embedder therefore has this one
route and no API method. Hits are sent before the rest is computed, so that they do not wait for the
misses of the same call.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from bentos.embedder.cache import EmbeddingCache
from bentos.embedder.contract import EMBED, EMBED_IN_PASSING, HITS, STATS, EmbedderStats
from core.logs import get_logger

_decode_phrases = msgspec.json.Decoder(list[str]).decode


def embedding_app() -> Starlette:
    """Return the app of the embedder service, which sets `app.state.cache` once it has a model."""
    return Starlette(
        routes=[
            Route(EMBED, _Embed(keep=True), methods=["POST"]),
            Route(EMBED_IN_PASSING, _Embed(keep=False), methods=["POST"]),
            Route(STATS, _stats, methods=["GET"]),
        ]
    )


class _Embed:
    """An ASGI app, because a Starlette response cannot be sent in two parts.

    `keep` says whether the phrases enter the cache.
    """

    def __init__(self, *, keep: bool) -> None:
        self.keep = keep

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            phrases = _decode_phrases(await Request(scope, receive).body())
            await _send_vectors(scope["app"].state.cache, phrases, send, keep=self.keep)
        except Exception as error:
            # After the first part this ends the connection, which the client notices.
            get_logger().error(
                "embedding", state="failed", error=f"{type(error).__name__}: {error}"
            )
            await Response(status_code=503)(scope, receive, send)


async def _send_vectors(
    cache: EmbeddingCache, cleaned: Sequence[str], send: Send, *, keep: bool = True
) -> None:
    known = cache.known(cleaned) if keep else cache.peek(cleaned)
    flags = bytes(b"01"[vector is not None] for vector in known)
    hits = b"".join(vector for vector in known if vector is not None)
    missing = [text for text, vector in zip(cleaned, known, strict=True) if vector is None]
    headers = [(HITS.encode(), flags)]
    computed = partial(cache.compute, missing, keep=keep)
    if hits and missing:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": hits, "more_body": True})
        await send({"type": "http.response.body", "body": b"".join(await computed())})
        return
    body = hits or b"".join(await computed() if missing else ())
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _stats(request: Request) -> Response:
    cache: EmbeddingCache = request.app.state.cache
    counts = cache.counts
    stats = EmbedderStats(
        counts.hits, counts.misses, counts.evictions, cache.computed, len(cache), cache.weight
    )
    return Response(msgspec.json.encode(stats), media_type="application/json")
