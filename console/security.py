"""Which requests are answered at all: known hosts, same-site changes; headers on every answer."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.addresses import is_every_address

LOOPBACK = ("127.0.0.1", "localhost", "::1")
HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data:; frame-ancestors 'self'; "
        "base-uri 'none'; form-action 'self'; object-src 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
OWN_SITE = ("same-origin", "none")
LARGEST_BODY = 64 * 2**20
"""Bytes of an upload: a file of 200,000 labels takes less."""


def protect(app: FastAPI, host: str, address: str | None = None) -> None:
    """Answer requests for the console's own names alone, and changes from its own pages.

    The names are those of `host`, of `address` (a URL) and of loopback. Added last, it comes first.
    """
    app.add_middleware(_Protection, host=host, address=address)


class _Protection:
    def __init__(self, app: ASGIApp, *, host: str, address: str | None) -> None:
        self._app = app
        parts = urlsplit(address or "")
        self._names = {*LOOPBACK, host.lower(), (parts.hostname or host).lower()}
        self._any_address = is_every_address(host)
        self._origins = {parts.netloc.lower()} if address else set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_headers(send)
        headers = Headers(scope=scope)
        if not self._is_ours(headers.get("host", "")):
            await _refuse(400, "expected the name of this console", scope, receive, send)
        elif scope["method"] not in SAFE_METHODS and is_foreign(headers, self._origins):
            await _refuse(403, "expected a request from this console's pages", scope, receive, send)
        elif _is_too_long(headers.get("content-length", "0")):
            await _refuse(413, f"expected at most {LARGEST_BODY} bytes", scope, receive, send)
        else:
            await self._app(scope, _limited(receive), send)

    def _is_ours(self, host: str) -> bool:
        """Return whether a `Host` names this console.

        A page of another site can bind its own name to our address (DNS rebinding), and is then
        betrayed by that name. An address cannot be bound to another one.
        """
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        return name in self._names or (self._any_address and _is_address(name))


def is_foreign(headers: Headers, origins: Collection[str] = ()) -> bool:
    """Return whether a page of another site asks. Programs send neither header."""
    if headers.get("sec-fetch-site", "none") not in OWN_SITE:
        return True
    origin = headers.get("origin")
    if origin is None:
        return False
    try:
        netloc = urlsplit(origin).netloc.lower()
    except ValueError:
        return True
    return netloc not in {headers.get("host", "").lower(), *origins}


def _is_address(name: str) -> bool:
    return ":" in name or name.replace(".", "").isdigit()


def _is_too_long(length: str) -> bool:
    return not length.isdigit() or int(length) > LARGEST_BODY


async def _refuse(status: int, text: str, scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(text, status)(scope, receive, send)


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers


def _limited(receive: Receive) -> Receive:
    """Count the bytes of a body that does not state its length."""
    received = 0

    async def receive_limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > LARGEST_BODY:
            raise HTTPException(413, f"expected at most {LARGEST_BODY} bytes")
        return message

    return receive_limited
