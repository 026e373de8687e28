"""The HTTP interface as a Starlette app that BentoML mounts. It knows nothing of BentoML."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import msgspec
import uuid_utils
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route

from bentos.answers import Answers, Asked
from bentos.api import (
    MAX_BODY_BYTES,
    BatchResponse,
    ClassifierInfo,
    ClassifiersResponse,
    PredictBatchRequest,
    PredictRequest,
    RequestRefused,
    asked_batch,
    asked_one,
    decode_request,
    error_body,
    prediction_response,
    status_of,
)
from bentos.embedding import EmbedderStats
from bentos.journal import JournalCounts
from bentos.live_heads import LiveHeads
from bentos.metrics import ServiceCounts, ServiceState, render_metrics
from bentos.openapi import OPERATIONS, openapi_document
from core.errors import EmbedderUnavailable, PerennialError
from core.logs import get_logger

MAX_CONCURRENT = 256
BODY_SECONDS = 3.0  # below the service's traffic timeout of 5 s, so that the error is ours
RETRY_AFTER = {"retry-after": "1"}

ANY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass
class Parts:
    """What the handlers use; `running` counts the requests in hand."""

    answers: Answers
    heads: LiveHeads
    journal: JournalCounts
    embedder_stats: Callable[[], Awaitable[EmbedderStats]]
    responses: ServiceCounts = field(default_factory=ServiceCounts)
    running: int = 0


Handler = Callable[[Request, Parts], Awaitable[bytes]]


def classifier_app() -> Starlette:
    """Every route of the classifier service, which sets `app.state.parts` when it starts."""
    handlers = {"predict": _predict, "predict_batch": _predict_batch, "classifiers": _classifiers}
    routes = [Route(one.path, _endpoint(one.name, handlers[one.name]), methods=[one.method]) for one in OPERATIONS]
    document = Response(msgspec.json.encode(openapi_document()), media_type="application/json")
    routes += [Route("/v1/openapi.json", lambda _: document, methods=["GET"]), Route("/metrics", _metrics, methods=["GET"])]
    return Starlette(routes=[*routes, Route("/{path:path}", _nowhere(routes), methods=ANY_METHOD)])


async def _predict(request: Request, parts: Parts) -> bytes:
    asked = asked_one(decode_request(_PREDICT, await _body(request)))
    [answer] = await parts.answers.answer(request.path_params["classifier"], asked)
    return msgspec.json.encode(prediction_response(answer))


async def _predict_batch(request: Request, parts: Parts) -> bytes:
    asked: list[Asked] = asked_batch(decode_request(_PREDICT_BATCH, await _body(request)))
    answers = await parts.answers.answer(request.path_params["classifier"], asked)
    return msgspec.json.encode(BatchResponse([prediction_response(answer) for answer in answers]))


async def _classifiers(_: Request, parts: Parts) -> bytes:
    current = sorted(parts.heads.current.items())
    infos = [ClassifierInfo(name, live.model.version, live.role, list(live.labels)) for name, live in current]
    return msgspec.json.encode(ClassifiersResponse(infos))


_PREDICT, _PREDICT_BATCH = msgspec.json.Decoder(PredictRequest), msgspec.json.Decoder(PredictBatchRequest)


def _endpoint(name: str, handler: Handler) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        parts: Parts = request.app.state.parts
        parts.running += 1
        try:
            if parts.running > MAX_CONCURRENT:
                raise RequestRefused(429, "overloaded", f"more than {MAX_CONCURRENT} requests at once")
            response = Response(await handler(request, parts), media_type="application/json")
        except Exception as error:
            response = error_response(error)
        finally:
            parts.running -= 1
        parts.responses.responses[name, response.status_code] += 1
        return response

    return endpoint


def error_response(error: Exception) -> Response:
    """Any error in the error schema; what is not ours to tell goes to the log."""
    request_id = str(uuid_utils.uuid7())
    known = error if isinstance(error, PerennialError) else PerennialError("an answer", came=type(error).__name__, do="see the log")
    status = status_of(known)
    if status == 500:
        get_logger().error("request", state="failed", request_id=request_id, exc_info=error)
    headers = RETRY_AFTER if status in (429, 503) else None
    return Response(error_body(known, request_id=request_id), status, headers=headers, media_type="application/json")


async def _body(request: Request) -> bytes:
    """Read no more than the limit, and not for ever."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _limited(request)
    except TimeoutError:
        raise RequestRefused(408, "slow_body", f"the body must arrive within {BODY_SECONDS:g} s") from None
    except ClientDisconnect:
        raise RequestRefused(400, "disconnected", "the client went away") from None


async def _limited(request: Request) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > MAX_BODY_BYTES:
        raise _too_large()
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise _too_large()
    return bytes(body)


def _too_large() -> RequestRefused:
    return RequestRefused(413, "body_too_large", f"the body may have {MAX_BODY_BYTES} bytes")


async def _metrics(request: Request) -> Response:
    parts: Parts = request.app.state.parts
    try:
        stats = await parts.embedder_stats()
    except EmbedderUnavailable:
        stats = None
    state = ServiceState(parts.answers, parts.heads, parts.journal, parts.responses, stats)
    return Response(render_metrics(state), media_type="text/plain; version=0.0.4; charset=utf-8")


def _nowhere(routes: Sequence[Route]) -> Endpoint:
    async def nowhere(request: Request) -> Response:
        allowed = sorted({method for route in routes if route.matches(request.scope)[0] is Match.PARTIAL for method in route.methods or ()})
        error = (
            RequestRefused(405, "method_not_allowed", f"this path takes {', '.join(allowed)}")
            if allowed
            else RequestRefused(404, "not_found", "no such path; /v1/openapi.json has the routes")
        )
        request.app.state.parts.responses.responses["none", error.status] += 1
        response = error_response(error)
        if allowed:
            response.headers["allow"] = ", ".join(allowed)
        return response

    return nowhere
