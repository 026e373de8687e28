"""Each patch names what it patches; a changed part of the installed package fails here."""

from __future__ import annotations

import asyncio
import inspect
import re
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from bentos.vendor_patches import (
    bentoml_middleware,
    bentoml_serve,
    uvicorn_connections,
    uvicorn_upgrades,
)
from bentos.vendor_patches.bentoml_middleware import BypassMiddleware
from bentos.vendor_patches.bentoml_serve import SOCKET, WATCHER, _further
from bentos.vendor_patches.uvicorn_connections import track_connections
from core import swagger

PATCHES = [
    *sorted(Path(bentoml_serve.__file__).parent.glob("[a-z]*.py")),
    Path(swagger.__file__),
]


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


@pytest.mark.parametrize("file", PATCHES, ids=lambda file: file.name)
def test_a_patch_states_its_reason_and_its_end(file: Path) -> None:
    docstring = file.read_text(encoding="utf-8").split('"""')[1]
    assert re.search(r"\d+\.\d+\.\d+", docstring)
    assert re.search(r"Reasons?: ", docstring.replace("\n", " "))
    assert "\nRemove when " in docstring


def test_the_patches_were_looked_at_for_the_installed_versions() -> None:
    import circus

    serve, middleware, connections, upgrades = (
        " ".join((module.__doc__ or "").split())
        for module in (bentoml_serve, bentoml_middleware, uvicorn_connections, uvicorn_upgrades)
    )
    assert f"BentoML {version('bentoml')}" in serve
    assert f"circus {circus.__version__}" in serve
    assert f"BentoML {version('bentoml')}" in middleware
    assert f"Starlette {version('starlette')}" in middleware
    assert f"uvicorn {version('uvicorn')}" in connections
    assert f"uvicorn {version('uvicorn')}" in upgrades
    assert f"BentoML {version('bentoml')}" in " ".join((swagger.__doc__ or "").split())


def test_bentoml_takes_its_arbiter_from_the_patched_attribute() -> None:
    from _bentoml_impl.server import serving
    from bentoml._internal.utils import circus

    assert parameters(circus.create_standalone_arbiter) == ["watchers", "threaded", "kwargs"]
    source = inspect.getsource(serving.serve_http)
    assert "from bentoml._internal.utils.circus import create_standalone_arbiter" in source
    assert re.findall(r"arbiter\.[\w.]+", source) == [
        "arbiter.exit_stack.enter_context",
        "arbiter.exit_stack.callback",
        "arbiter.start",
    ]


def test_circus_has_the_methods_and_options_that_the_supervisor_uses() -> None:
    from circus.arbiter import Arbiter
    from circus.sockets import CircusSocket
    from circus.watcher import Watcher

    assert parameters(Arbiter._stop_watchers) == [
        "self",
        "close_output_streams",
        "watcher_iter_func",
    ]
    assert parameters(Watcher._stop) == ["self", "close_output_streams"]
    assert {*WATCHER, "env"} <= {*parameters(Watcher.__init__)}
    assert {*SOCKET} <= {*parameters(CircusSocket.__init__)}
    assert {"endpoint", "pubsub_endpoint", "check_delay"} <= {*parameters(Arbiter.__init__)}


def test_a_further_bento_differs_from_the_first_in_tag_number_and_port() -> None:
    entry = {
        "name": "service",
        "args": ["-m", "worker", "perennial:7", "--fd", "$(circus.sockets._bento_api_server)"],
        "env": {"A": "1"},
    }
    watcher, listener = _further(entry, {"name": "", "port": 3000}, 2, "perennial-2:7")
    assert watcher == {
        "name": "service_2",
        "args": ["-m", "worker", "perennial-2:7", "--fd", "$(circus.sockets._bento_api_server_2)"],
        "env": {"A": "1", "PERENNIAL_BENTO": "2"},
    }
    assert listener == {"name": "_bento_api_server_2", "port": 3001}


def test_only_our_paths_pass_by_the_stack() -> None:
    stack_paths: list[str] = []

    class Recorder:
        def __init__(self, inner: ASGIApp) -> None:
            self._inner = inner

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                stack_paths.append(scope["path"])
            await self._inner(scope, receive, send)

    ours = PlainTextResponse("ours")
    outer = Starlette(
        routes=[Route("/readyz", lambda request: PlainTextResponse("theirs"))],
        middleware=[
            Middleware(Recorder),
            Middleware(BypassMiddleware, app=ours, paths=("/v1/",), pages=frozenset({"/"})),
        ],
    )
    with TestClient(outer) as client:
        answers = [client.get(path).text for path in ("/v1/classifiers", "/", "/readyz")]
    assert (answers, stack_paths) == (["ours", "ours", "theirs"], ["/readyz"])


def test_bentomls_application_is_a_starlette_application() -> None:
    from _bentoml_impl.server.app import ServiceAppFactory
    from bentoml._internal.server.base_app import BaseAppFactory

    assert issubclass(ServiceAppFactory, BaseAppFactory)
    assert "return Starlette(" in inspect.getsource(BaseAppFactory.__call__)


def test_the_installed_wheel_holds_swagger_ui() -> None:
    style, bundle = (swagger.swagger_folder() / name for name in swagger.FILES)
    assert ".swagger-ui" in style.read_text("utf-8")
    assert "exports.SwaggerUIBundle=" in bundle.read_text("utf-8")


def test_uvicorns_connections_are_tracked_until_they_are_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from uvicorn.config import Config
    from uvicorn.protocols.http.auto import AutoHTTPProtocol
    from uvicorn.server import ServerState

    for name in ("connection_made", "connection_lost"):  # restored when the test ends
        monkeypatch.setattr(AutoHTTPProtocol, name, getattr(AutoHTTPProtocol, name))
    connections = track_connections()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def run() -> None:
        config = Config(app, lifespan="off", log_config=None)
        config.load()
        protocol = AutoHTTPProtocol(  # type: ignore[call-arg]
            config=config, server_state=ServerState(), app_state={}
        )
        transport = SimpleNamespace(
            get_extra_info=lambda name: None,
            is_closing=lambda: False,
            write=lambda data: None,
            close=lambda: None,
        )
        protocol.connection_made(transport)  # type: ignore[arg-type]
        [connection] = connections
        assert connection.cycle is None
        assert connection.transport is transport  # type: ignore[comparison-overlap]
        request = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"
        protocol.data_received(request)  # type: ignore[attr-defined]
        assert connection.cycle is not None
        assert not connection.cycle.response_complete
        while not connection.cycle.response_complete:
            await asyncio.sleep(0)
        protocol.connection_lost(None)
        assert connections == set()

    asyncio.run(asyncio.wait_for(run(), 5))
