"""The HTTP interface as a Starlette app that BentoML mounts.

Of BentoML it takes only the files of `/docs`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

from bentos.http.classifiers import list_classifiers
from bentos.http.endpoint import AppState, Call, Endpoint, error_response, respond
from bentos.http.explain import explain
from bentos.http.feedback import take_feedback
from bentos.http.lines import answer_by_line
from bentos.http.metrics import ServiceState, render_metrics
from bentos.http.openapi import OPERATIONS, openapi_document
from bentos.http.pages import page_routes
from bentos.http.schemas import (
    PredictBatchRequest,
    PredictRequest,
    RequestRefused,
    batch_body,
    decode_request,
    parse_predict_batch_request,
    parse_predict_request,
)
from bentos.http.versions import requested_version

ANY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
# Paths that BentoML's own routes never see: those that begin so, and single ones.
BYPASSED_PATHS = ("/v1/", "/metrics", "/docs/")
BYPASSED_PAGES = frozenset({"/", "/docs"})

_PREDICT = msgspec.json.Decoder(PredictRequest)
_PREDICT_BATCH = msgspec.json.Decoder(PredictBatchRequest)


async def _predict(state: AppState, call: Call) -> bytes:
    requests = parse_predict_request(decode_request(_PREDICT, call.body))
    if call.classifier in state.heads.lines:
        [answer] = await answer_by_line(state, call, requests)
        return answer
    model = await requested_version(state, call) if call.query else None
    [answer] = await state.answers.answer(call.classifier, requests, model=model)
    return answer


async def _predict_batch(state: AppState, call: Call) -> bytes:
    requests = parse_predict_batch_request(decode_request(_PREDICT_BATCH, call.body))
    if call.classifier in state.heads.lines:
        return batch_body(await answer_by_line(state, call, requests))
    model = await requested_version(state, call) if call.query else None
    return batch_body(await state.answers.answer(call.classifier, requests, model=model))


ENDPOINTS = {
    "predict": Endpoint("predict", _predict),
    "predict_batch": Endpoint("predict_batch", _predict_batch),
    "explain": Endpoint("explain", explain),
    "classifiers": Endpoint("classifiers", list_classifiers),
    "feedback": Endpoint("feedback", take_feedback, status=202),
}


class ClassifierApp(Starlette):
    """Every route of the classifier service, which sets `state.app_state` when it starts.

    POST /v1/{classifier}/predict is matched by a comparison instead of by Starlette's router.
    """

    def __init__(self) -> None:
        routes: list[BaseRoute] = [
            Route(operation.path, ENDPOINTS[operation.name], methods=[operation.method])
            for operation in OPERATIONS
        ]
        document = Response(msgspec.json.encode(openapi_document()), media_type="application/json")
        routes += [
            Route("/v1/openapi.json", lambda _: document, methods=["GET"]),
            Route("/metrics", _metrics, methods=["GET"]),
            *page_routes(),
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
                    scope, receive, send, state=self.state.app_state, classifier=classifier
                )
                return
        await super().__call__(scope, receive, send)


async def _metrics(request: Request) -> Response:
    state: AppState = request.app.state.app_state
    observed = ServiceState(
        state.answers,
        state.heads,
        state.journal,
        state.feedback.counts,
        state.responses,
        state.retained,
        state.embedder_stats(),
    )
    return Response(render_metrics(observed), media_type="text/plain; version=0.0.4; charset=utf-8")


class NotFound:
    """404, or 405 for a path that takes another method."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = [route for route in routes if isinstance(route, Route)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        allowed = self._allowed_methods(scope)
        if allowed:
            error = RequestRefused(405, "method_not_allowed", f"this path takes {allowed}")
            headers = [(b"allow", allowed.encode())]
        else:
            error = RequestRefused(404, "not_found", "no such path; see /docs or /v1/openapi.json")
            headers = []
        status, body = error_response(error)
        scope["app"].state.app_state.responses.responses["none", status] += 1
        await respond(send, status, body, *headers)

    def _allowed_methods(self, scope: Scope) -> str:
        methods = {
            method
            for route in self._routes
            if route.matches(scope)[0] is Match.PARTIAL
            for method in route.methods or ()
        }
        return ", ".join(sorted(methods))
