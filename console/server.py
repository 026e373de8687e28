"""Serves the console until it is stopped."""

from __future__ import annotations

import uvicorn

from console.access.sign_in import require_sign_in_beyond_loopback
from console.app import create_app
from flows.context import LoopContext


def serve_console(context: LoopContext) -> None:
    """Serve the console of a loop on its host and port until SIGINT or SIGTERM.

    Raises `UsersNeeded` when other machines reach it and nobody could sign in.
    """
    settings = context.settings
    with context.engine.connect() as connection:
        require_sign_in_beyond_loopback(connection, settings)
    uvicorn.run(
        create_app(context),
        host=settings.host,
        port=settings.console_port,
        log_level="warning",
        server_header=False,
    )
