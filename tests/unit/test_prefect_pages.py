"""Prefect returns its rows page by page: more classifiers than one page holds work the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from core.settings import load_settings
from flows import deployments
from machine.health import runner_polls

PAGE = 2


class Client:
    """Returns two rows per page, like a server with many deployments."""

    def __init__(self, names: list[str]) -> None:
        self.rows = [SimpleNamespace(id=name, name=name, flow_id=f"flow {name}") for name in names]
        self.flows = [SimpleNamespace(id=f"flow {name}", name="watch") for name in names]
        self.deleted: list[str] = []

    def read_deployments(self, *, offset: int = 0, **_: object) -> list[Any]:
        return self.rows[offset : offset + PAGE]

    def read_flows(self, *, offset: int = 0, **_: object) -> list[Any]:
        return self.flows[offset : offset + PAGE]

    def delete_resource_owned_automations(self, resource: str) -> None:
        assert resource.startswith("prefect.deployment.")

    def delete_deployment(self, deployment: str) -> None:
        self.deleted.append(deployment)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_stale_deployments_beyond_the_first_page_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = Client(["a", "b", "c", "gone", "d", "lost"])
    monkeypatch.setattr("prefect.client.orchestration.get_client", lambda **_: client)
    deployments._delete_others({f"watch/{name}" for name in "abcd"})
    assert client.deleted == ["gone", "lost"]


@contextmanager
def prefect_with(statuses: list[str]) -> Iterator[int]:
    """Serve deployments, two per page; yield the port."""
    rows = [{"tags": ["perennial"], "status": status} for status in statuses]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            offset = json.loads(self.rfile.read(int(self.headers["content-length"]))).get(
                "offset", 0
            )
            self.send_response(200 if offset < 6 else 500)
            self.end_headers()
            self.wfile.write(json.dumps(rows[offset : offset + PAGE]).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(
    ("statuses", "ready"),
    [
        (["READY"] * 5, True),
        (["READY"] * 4 + ["NOT_READY"], False),
        (["READY"] * 7, False),  # the last page cannot be had
        ([], False),
    ],
    ids=["every page", "one on the last page is not", "a page is missing", "none"],
)
def test_the_runner_is_ready_when_all_pages_say_so(statuses: list[str], ready: bool) -> None:
    with prefect_with(statuses) as port:
        assert runner_polls(load_settings(prefect_port=port)) is ready
