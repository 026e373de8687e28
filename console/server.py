"""Serves the console until it is stopped."""

from __future__ import annotations

import uvicorn

from console.app import create_app
from flows.context import LoopContext


def serve_console(context: LoopContext) -> None:
    """Serve the console of a loop on its host and port until SIGINT or SIGTERM."""
    settings = context.settings
    uvicorn.run(
        create_app(context),
        host=settings.host,
        port=settings.console_port,
        log_level="warning",
        server_header=False,
    )
