"""A console over the session's database: asked by a client, or served to a browser."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import BrowserContext
from sqlalchemy.engine import Engine
from starlette.testclient import TestClient

from console.app import create_app
from core.database import DatabaseUrls
from core.params.schema import load_params
from flows.context import LoopContext
from tests.support.browsers import chromium
from tests.support.http_servers import served
from tests.support.places import own_place

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PARAMS = {"classifiers": {"organ": {"source": {"query": "queries/q.sql", "label": "organ"}}}}


@pytest.fixture
def context(engine: Engine, database: DatabaseUrls, tmp_path: Path) -> LoopContext:
    """A loop with the classifier `organ` and no version."""
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(PARAMS), encoding="utf-8")
    settings = own_place(tmp_path / "home", repository=tmp_path)
    return LoopContext(settings, database, engine, load_params(tmp_path / "params.yaml"))


@pytest.fixture
def console(context: LoopContext) -> TestClient:
    """The console without a server; its clock stands at NOW."""
    app = create_app(context, clock=lambda: NOW)
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)


@pytest.fixture
def console_url(context: LoopContext) -> Iterator[str]:
    """The address of a console that a browser can open."""
    with served(create_app(context, clock=lambda: NOW)) as (host, port):
        yield f"http://{host}:{port}"


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    with chromium() as context:
        yield context
