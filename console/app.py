"""The console as one application: its pages, its API and its files."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from console.api import feedback as feedback_api
from console.api import review as review_api
from console.failures import handle_failures
from console.pages import overview, review, strategies
from console.rendering import FOLDER
from console.security import protect
from console.state import ConsoleState
from flows.context import LoopContext

PAGES = (overview, review, strategies)
API = (feedback_api, review_api)


def _now() -> datetime:
    return datetime.now(UTC)


def create_app(context: LoopContext, *, clock: Callable[[], datetime] = _now) -> FastAPI:
    """Return the console of a loop; `clock` returns now, timezone-aware."""
    app = FastAPI(title="Perennial console", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.console = ConsoleState(context, clock)
    handle_failures(app)
    protect(app, context.settings.host)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")
    for part in (*PAGES, *API):
        app.include_router(part.router)

    @app.get("/livez")
    def livez() -> dict[str, str]:
        return {"status": "alive"}

    return app
