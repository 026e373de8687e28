"""Sends the paths of this project past BentoML's middleware.

Relies on BentoML 1.4.39 and Starlette 1.10.0: BentoML's application is a Starlette application that
puts itself into the scope of the lifespan call, and reads `middleware_stack` anew for every
request. Reason: the stack (tracing, a timer and a task per request, contexts, a router) costs more
than a request that the answer cache serves.

Remove when BentoML mounts an ASGI application without its middleware.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class BypassMiddleware:
    """ASGI middleware that moves in front of all others, and sends some paths directly to `app`.

    Those are the paths that begin with one of `paths`, and `pages`.

    The lifespan call shows the application around the stack. Afterwards only health checks and
    BentoML's own pages pass through the stack.
    """

    def __init__(
        self,
        inner: ASGIApp,
        *,
        app: ASGIApp,
        paths: tuple[str, ...],
        pages: frozenset[str] = frozenset(),
    ) -> None:
        self._inner = inner
        self._app = app
        self._paths = paths
        self._pages = pages
        self._stack: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            outer = scope["app"]
            self._stack = outer.middleware_stack
            outer.middleware_stack = self._dispatch
        await self._inner(scope, receive, send)

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app if self._bypasses(scope) else self._stack
        await app(scope, receive, send)  # type: ignore[misc]  # set before the first request

    def _bypasses(self, scope: Scope) -> bool:
        if scope["type"] != "http":
            return False
        path: str = scope["path"]
        return path.startswith(self._paths) or path in self._pages
