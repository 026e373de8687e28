"""Signing in and out."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from console.access.people import Viewer
from console.access.sessions import LIFETIME
from console.access.sign_in import COOKIE, SignIn
from console.access.users import end_sessions
from console.rendering import render
from console.state import State
from core.errors import PerennialError, SignInNeeded, SignInRefused, TooManyAttempts

router = APIRouter()
NEXT = "next"
"""The parameter, and the key in the provider's session, of the page to go on to."""


@router.get("/login")
def show_login(request: Request, state: State, next: str = "/") -> Response:
    """Show the form; somebody who is signed in goes on."""
    sign_in: SignIn = request.app.state.sign_in
    try:
        sign_in.person_of(state, request.cookies)
    except SignInNeeded:
        return _form(request, next)
    return RedirectResponse(own_path(next), 303)


@router.post("/login")
def log_in(
    request: Request,
    state: State,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "/",
) -> Response:
    """Begin a session, and go on to the page that was asked for."""
    sign_in: SignIn = request.app.state.sign_in
    address = request.client.host if request.client else ""
    try:
        _, cookie = sign_in.by_password(state, name, password, address=address)
    except TooManyAttempts as error:
        return _form(request, next, error, status=429)
    except SignInRefused as error:
        return _form(request, next, error, status=401)
    return _go_on(request, next, cookie)


@router.post("/logout")
def log_out(request: Request, state: State, person: Viewer) -> Response:
    """End every session of the person, wherever their cookies are."""
    with state.changing() as connection:
        end_sessions(connection, person.name)
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE)
    return response


@router.get("/login/openid")
async def go_to_provider(request: Request, next: str = "/") -> Response:
    """Send the browser to the OpenID provider."""
    sign_in: SignIn = request.app.state.sign_in
    if sign_in.openid is None:
        raise _without_provider()
    request.session[NEXT] = own_path(next)
    return await sign_in.openid.redirect(request)


@router.get("/login/openid/callback")
async def come_back(request: Request, state: State) -> Response:
    """Begin a session for the person whom the provider names."""
    sign_in: SignIn = request.app.state.sign_in
    if sign_in.openid is None:
        raise _without_provider()
    name = await sign_in.openid.name(request)
    _, cookie = await run_in_threadpool(sign_in.by_openid, state, name)
    page = str(request.session.pop(NEXT, "/"))
    return _go_on(request, page, cookie)


def own_path(page: str) -> str:
    """Return the path and query of one of our pages; `/` for any other address."""
    try:
        parts = urlsplit(page)
    except ValueError:
        return "/"
    is_ours = not parts.scheme and not parts.netloc and parts.path.startswith("/")
    plain = page.isascii() and page.isprintable() and "\\" not in page
    return page if is_ours and plain and not page.startswith("//") else "/"


def login_address(page: str) -> str:
    """Return the address of the form that goes on to a page."""
    return f"/login?{urlencode({NEXT: own_path(page)})}"


def _form(
    request: Request, page: str, error: PerennialError | None = None, *, status: int = 200
) -> Response:
    sign_in: SignIn = request.app.state.sign_in
    query = urlencode({NEXT: own_path(page)})
    return render(
        request,
        "login.html",
        status=status,
        error=error,
        next_page=own_path(page),
        provider=f"/login/openid?{query}" if sign_in.openid else None,
    )


def _go_on(request: Request, page: str, cookie: str) -> Response:
    response = RedirectResponse(own_path(page), 303)
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=int(LIFETIME.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=is_encrypted(request),
    )
    return response


def is_encrypted(request: Request) -> bool:
    """Return whether people open the console by https, itself or through a proxy."""
    address = request.app.state.console.settings.console_address or ""
    return request.url.scheme == "https" or address.startswith("https:")


def _without_provider() -> SignInRefused:
    return SignInRefused(
        "an OpenID provider", came="none", do="sign in at /login with name and password"
    )
