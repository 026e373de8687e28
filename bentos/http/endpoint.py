"""Shared handling for every route: authentication, limits, dispatch, metrics, errors.

It is plain ASGI: Starlette's routing costs more than a request that the answer cache serves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import uuid_utils
from starlette.types import Message, Receive, Scope, Send

from bentos.answering.answers import AnswerService
from bentos.answering.explaining import Explainer
from bentos.embedder.contract import EmbedderStats
from bentos.heads.live_heads import LiveHeads
from bentos.heads.retained import Retained
from bentos.http.metrics import ServiceCounts
from bentos.http.schemas import MAX_BODY_BYTES, RequestRefused, error_body, status_of
from bentos.inference_log.feedback import FeedbackLog
from bentos.inference_log.journal import JournalCounts
from bentos.keys import Caller, Keys
from core.errors import PerennialError
from core.logs import get_logger

MAX_CONCURRENT = 256
BODY_SECONDS = 3.0
JSON = (b"content-type", b"application/json")
RETRY_AFTER = (b"retry-after", b"1")
STATUS_HEADERS = {429: RETRY_AFTER, 503: RETRY_AFTER, 401: (b"www-authenticate", b"Bearer")}

Header = tuple[bytes, bytes]


@dataclass
class AppState:
    """What the handlers use. `running` counts the requests in progress."""

    answers: AnswerService
    heads: LiveHeads
    journal: JournalCounts
    feedback: FeedbackLog
    embedder_stats: Callable[[], EmbedderStats | None]
    keys: Keys
    retained: Retained
    explainer: Explainer
    responses: ServiceCounts = field(default_factory=ServiceCounts)
    running: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """One request: the classifier of its path, its raw query string, its body.

    `caller` is the holder of its API key.
    """

    classifier: str
    query: bytes
    body: bytes
    caller: Caller


Handler = Callable[[AppState, Call], Awaitable[bytes]]


class Endpoint:
    """An ASGI app for one route. `handler` maps the state and a request to a JSON answer."""

    def __init__(self, name: str, handler: Handler, *, status: int = 200) -> None:
        self.name = name
        self._handler = handler
        self._status = status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.serve(
            scope,
            receive,
            send,
            state=scope["app"].state.app_state,
            classifier=scope["path_params"].get("classifier", ""),
        )

    async def serve(
        self, scope: Scope, receive: Receive, send: Send, *, state: AppState, classifier: str
    ) -> None:
        """Answer one request."""
        state.running += 1
        status = self._status
        extra = None

        try:
            caller = state.keys.holder(scope["headers"])
            if caller is None:
                raise RequestRefused(
                    401, "unauthorized", "an API key is needed: authorization: Bearer <key>"
                )
            if state.running > MAX_CONCURRENT:
                raise RequestRefused(
                    429, "overloaded", f"more than {MAX_CONCURRENT} requests at once"
                )
            body = await read_body(scope, receive)
            call = Call(classifier, scope["query_string"], body, caller)
            body = await self._handler(state, call)
        except Exception as error:
            status, body = error_response(error)
            extra = STATUS_HEADERS.get(status)
        finally:
            state.running -= 1

        state.responses.responses[self.name, status] += 1
        await respond(send, status, body, *((extra,) if extra else ()))


async def respond(send: Send, status: int, body: bytes, *headers: Header) -> None:
    """Send a whole JSON answer."""
    all_headers = [JSON, (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": all_headers})
    await send({"type": "http.response.body", "body": body})


def error_response(error: Exception) -> tuple[int, bytes]:
    """Return status and JSON body of any error. An unexpected one is logged, not sent."""
    request_id = str(uuid_utils.uuid7())
    named = _named(error)
    status = status_of(named)
    if status == 500:
        get_logger().error("request", state="failed", request_id=request_id, exc_info=error)
    return status, error_body(named, request_id=request_id)


def _named(error: Exception) -> PerennialError:
    if isinstance(error, PerennialError):
        return error
    return PerennialError("an answer", came=type(error).__name__, do="see the log")


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """Read at most MAX_BODY_BYTES, for at most BODY_SECONDS. Raises `RequestRefused`."""
    if scope["method"] == "GET":
        return b""
    announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
        raise _too_large()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            message = await receive()
            if _is_whole(message):
                body: bytes = message["body"]
                return body
            return await _collect(message, receive)
    except TimeoutError:
        raise RequestRefused(
            408, "slow_body", f"the body must arrive within {BODY_SECONDS:g} s"
        ) from None


def _is_whole(message: Message) -> bool:
    return (
        message["type"] == "http.request"
        and not message.get("more_body")
        and len(message["body"]) <= MAX_BODY_BYTES
    )


async def _collect(message: Message, receive: Receive) -> bytes:
    body = bytearray()
    while True:
        if message["type"] == "http.disconnect":
            raise RequestRefused(400, "disconnected", "the client went away")
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise _too_large()
        if not message.get("more_body"):
            return bytes(body)
        message = await receive()


def _too_large() -> RequestRefused:
    return RequestRefused(413, "body_too_large", f"the body may have {MAX_BODY_BYTES} bytes")
