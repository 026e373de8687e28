"""Errors as pages, or as JSON below `/api`: what was expected, what was found, what to do."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from console.pages.login import login_address
from console.rendering import render
from console.security import HEADERS
from core.errors import (
    DataError,
    EmbedderUnusable,
    HeadRefused,
    PerennialError,
    RoleNeeded,
    SignInNeeded,
    SignInRefused,
    TooManyAttempts,
    TransientError,
    UnknownClassifier,
    UnknownRequest,
    UnknownVersion,
    UsageError,
)
from monitoring.labels.pinning import ConflictingPin, UnknownPin

STATUS: dict[type[PerennialError], int] = {
    UnknownClassifier: 404,
    UnknownRequest: 404,
    UnknownVersion: 404,
    SignInNeeded: 401,
    SignInRefused: 401,
    RoleNeeded: 403,
    TooManyAttempts: 429,
    UnknownPin: 404,
    ConflictingPin: 409,
    HeadRefused: 409,
    EmbedderUnusable: 409,
    UsageError: 400,
    DataError: 422,
    TransientError: 503,
}
"""The first class that an error belongs to decides; everything else is 500."""
AWAY = "The database does not answer. The service goes on answering; try again in a moment."
UNEXPECTED = (
    "The console failed at this page; your input is not to blame. "
    "The file logs/console.log in Perennial's home has the details."
)
OVERTAKEN = "Somebody else changed the same thing at this moment. Try again."
UNSTORABLE = "expected values that the database can hold, got a character or number that it cannot"


class Failure(BaseModel):
    """What was expected, what was found, what to do; `code` is for programs."""

    code: str
    message: str


class Refused(BaseModel):
    """The body of every answer of `/api` that is not a success."""

    error: Failure


REFUSALS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Refused, "description": "The request was refused; the message says why"},
    503: {"model": Refused, "description": "The database does not answer; send it again"},
}
"""The answers beside its own that every route for programs may give."""


def handle_failures(app: FastAPI) -> None:
    """Answer every named error, bad input and an absent database with a page that explains it."""
    app.add_exception_handler(SignInNeeded, _sign_in)
    app.add_exception_handler(PerennialError, _named)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(sa.exc.OperationalError, _away)
    app.add_exception_handler(sa.exc.DataError, _unstorable)
    app.add_exception_handler(Exception, _unexpected)
    app.add_exception_handler(sa.exc.IntegrityError, _overtaken)


def status_of(error: PerennialError) -> int:
    """Return the HTTP status of a named error."""
    return next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)


def _sign_in(request: Request, error: Any) -> Response:
    """Send a page's reader to the form, and tell programs and parts of pages that they need it."""
    if request.url.path.startswith("/api/"):
        return _named(request, error)
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"hx-redirect": "/login"})
    page = f"{request.url.path}?{request.url.query}".removesuffix("?")
    return RedirectResponse(login_address(page if request.method == "GET" else "/"), 303)


def _named(request: Request, error: Any) -> Response:
    return _answer(request, status_of(error), str(error), code=error.code)


def _invalid(request: Request, error: Any) -> Response:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    return _answer(request, 400, f"{where}: {first['msg']}", code="invalid_request")


def _http(request: Request, error: Any) -> Response:
    return _answer(request, error.status_code, str(error.detail), code="http")


def _away(request: Request, _error: Any) -> Response:
    return _answer(request, 503, AWAY, code="database_unreachable")


def _unstorable(request: Request, _error: Any) -> Response:
    """A NUL character, or a number out of range."""
    return _answer(request, 400, UNSTORABLE, code="invalid_request")


def _unexpected(request: Request, _error: Any) -> Response:
    """Explain a fault of the console, with HEADERS: no middleware of ours sees this answer."""
    answer = _answer(request, 500, UNEXPECTED, code="internal")
    answer.headers.update(HEADERS)
    return answer


def _overtaken(request: Request, _error: Any) -> Response:
    """Two people stored the same thing at the same moment: 503, so that it is sent again."""
    return _answer(request, 503, OVERTAKEN, code="overtaken")


def _answer(request: Request, status: int, text: str, *, code: str) -> Response:
    text = text.encode("utf-8", "replace").decode()
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": {"code": code, "message": text}}, status)
    return render(request, "failure.html", status=status, text=text, title="That did not work")
