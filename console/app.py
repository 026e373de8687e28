"""The console as one application: its pages, its API and its files."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.middleware.sessions import SessionMiddleware

from console.access.people import SIGNED_IN
from console.access.sessions import signing_secret
from console.access.sign_in import open_sign_in
from console.failures import REFUSALS, handle_failures
from console.pages import login
from console.rendering import FOLDER
from console.routes import API, PAGES
from console.security import protect
from console.state import ConsoleState
from core.settings import Settings
from flows.context import LoopContext


def _now() -> datetime:
    return datetime.now(UTC)


def create_app(context: LoopContext, *, clock: Callable[[], datetime] = _now) -> FastAPI:
    """Return the console of a loop; `clock` returns now, timezone-aware."""
    app = FastAPI(
        title="Perennial console", version="1", docs_url=None, redoc_url=None, openapi_url=None
    )
    app.state.console = ConsoleState(context, clock)
    handle_failures(app)
    _let_people_in(app, context.settings)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")
    for router in PAGES:
        app.include_router(router, dependencies=[SIGNED_IN], include_in_schema=False)
    for router in API:
        app.include_router(router, dependencies=[SIGNED_IN], responses=REFUSALS, tags=["Routes"])

    @app.get("/livez", include_in_schema=False)
    def livez() -> dict[str, str]:
        return {"status": "alive"}

    return app


def _let_people_in(app: FastAPI, settings: Settings) -> None:
    """Know who asks, and answer nobody else."""
    app.state.sign_in = open_sign_in(settings)
    app.include_router(login.router, include_in_schema=False)
    if settings.openid_issuer:
        app.add_middleware(
            SessionMiddleware,
            secret_key=signing_secret(settings.home).hex(),
            session_cookie="perennial_openid",
            max_age=600,
            path="/login",
            https_only=(settings.console_address or "").startswith("https:"),
        )
    protect(app, settings.host, settings.console_address)
