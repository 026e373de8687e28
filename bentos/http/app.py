"""The HTTP interface as a Starlette app that BentoML mounts. It knows nothing of BentoML."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

from bentos.heads.live_heads import LiveRollout
from bentos.heads.loading import LiveModel
from bentos.http.endpoint import AppState, Call, Endpoint, respond, error_response
from bentos.http.metrics import ServiceState, render_metrics
from bentos.http.openapi import OPERATIONS, openapi_document
from bentos.http.schemas import (
    BesideInfo,
    ClassifierInfo,
    ClassifiersResponse,
    PredictBatchRequest,
    PredictRequest,
    RequestRefused,
    parse_predict_batch_request,
    parse_predict_request,
    batch_body,
    decode_request,
    version_of,
)
from core.errors import HeadRefused
from core.logs import get_logger

ANY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
OURS = ("/v1/", "/metrics")  # paths that BentoML's own routes never see

_PREDICT, _PREDICT_BATCH = (
    msgspec.json.Decoder(PredictRequest),
    msgspec.json.Decoder(PredictBatchRequest),
)


async def _predict(parts: AppState, call: Call) -> bytes:
    asked, by = (
        parse_predict_request(decode_request(_PREDICT, call.body)),
        await _asked_version(parts, call) if call.query else None,
    )
    [answer] = await parts.answers.answer(call.classifier, asked, by=by)
    return answer


async def _predict_batch(parts: AppState, call: Call) -> bytes:
    asked, by = (
        parse_predict_batch_request(decode_request(_PREDICT_BATCH, call.body)),
        await _asked_version(parts, call) if call.query else None,
    )
    return batch_body(await parts.answers.answer(call.classifier, asked, by=by))


async def _asked_version(parts: AppState, call: Call) -> LiveModel | None:
    """The version that the query names; None when it names none."""
    version = version_of(call.query)
    try:
        return await parts.retained.find(call.classifier, version) if version else None
    except HeadRefused as error:
        get_logger().warning(
            "asked version",
            state="refused",
            classifier=call.classifier,
            version=version,
            error=str(error),
        )
        told = f"version {version} is damaged, or rests on another embedder than this service; the service's log has the reason"
        raise RequestRefused(409, "head_refused", told) from None


async def _classifiers(parts: AppState, _: Call) -> bytes:
    infos = [_info(name, rollout) for name, rollout in sorted(parts.heads.current.items())]
    return msgspec.json.encode(ClassifiersResponse(infos))


def _info(name: str, rollout: LiveRollout) -> ClassifierInfo:
    beside = [
        BesideInfo(live.model.version, live.role, rollout.share if live is rollout.canary else 1.0)
        for live in rollout.models[1:]
    ]
    champion = rollout.champion
    return ClassifierInfo(
        name, champion.model.version, champion.role, list(champion.labels), beside
    )


ENDPOINTS = {
    "predict": Endpoint("predict", _predict),
    "predict_batch": Endpoint("predict_batch", _predict_batch),
    "classifiers": Endpoint("classifiers", _classifiers),
}


class ClassifierApp(Starlette):
    """Every route of the classifier service, which sets `state.parts` when it starts.

    POST /v1/{classifier}/predict is found by a comparison instead of by Starlette's router.
    """

    def __init__(self) -> None:
        routes: list[BaseRoute] = [
            Route(one.path, ENDPOINTS[one.name], methods=[one.method]) for one in OPERATIONS
        ]
        document = Response(msgspec.json.encode(openapi_document()), media_type="application/json")
        routes += [
            Route("/v1/openapi.json", lambda _: document, methods=["GET"]),
            Route("/metrics", _metrics, methods=["GET"]),
        ]
        super().__init__(
            routes=[*routes, Route("/{path:path}", NotFound(routes), methods=ANY_METHOD)]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if path.endswith("/predict") and path.startswith("/v1/") and scope["method"] == "POST":
            classifier = path[4:-8]
            if classifier and "/" not in classifier:
                await ENDPOINTS["predict"].serve(
                    scope, receive, send, parts=self.state.parts, classifier=classifier
                )
                return
        await super().__call__(scope, receive, send)


async def _metrics(request: Request) -> Response:
    parts: AppState = request.app.state.parts
    state = ServiceState(
        parts.answers,
        parts.heads,
        parts.journal,
        parts.responses,
        parts.retained,
        parts.embedder_stats(),
    )
    return Response(render_metrics(state), media_type="text/plain; version=0.0.4; charset=utf-8")


class NotFound:
    """404, or 405 for a path that takes another method."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = [route for route in routes if isinstance(route, Route)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        allowed = ", ".join(
            sorted(
                {
                    method
                    for one in self._routes
                    if one.matches(scope)[0] is Match.PARTIAL
                    for method in one.methods or ()
                }
            )
        )
        error = (
            RequestRefused(405, "method_not_allowed", f"this path takes {allowed}")
            if allowed
            else RequestRefused(404, "not_found", "no such path; /v1/openapi.json has the routes")
        )
        status, body = error_response(error)
        scope["app"].state.parts.responses.responses["none", status] += 1
        await respond(send, status, body, *([(b"allow", allowed.encode())] if allowed else []))
