"""The variables that dependencies are started with."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.database import DatabaseUrls
from core.errors import PortTaken
from core.settings import Settings, load_settings
from machine import environment
from machine.environment import (
    apply_environment,
    child_settings,
    flow_environment,
    prefect_answers,
    prefect_home,
)
from tests.support.http_servers import served

URLS = DatabaseUrls(
    perennial="postgresql://me:secret@db/perennial",
    prefect="postgresql://postgres:@/prefect?host=/tmp/pg",
    mlflow="postgresql://db/mlflow",
)


@pytest.fixture
def settings(tmp_home: Path) -> Settings:
    return load_settings(home=tmp_home, prefect_port=4321)


def test_a_running_server_is_named_and_an_ephemeral_one_is_not(settings: Settings) -> None:
    beside = flow_environment(settings, URLS, server=True)
    alone = flow_environment(settings, URLS, server=False)
    assert beside["PREFECT_API_URL"] == "http://127.0.0.1:4321/api"
    assert "PREFECT_API_URL" not in alone
    assert alone["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] == "true"


def test_without_an_answer_the_server_is_ephemeral(settings: Settings) -> None:
    assert "PREFECT_API_URL" not in flow_environment(
        settings.model_copy(update={"prefect_port": 1}), URLS
    )


@pytest.mark.parametrize("timeout", [60.0, 0.2])
def test_a_busy_server_of_this_home_is_not_taken_for_a_stranger(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, timeout: float
) -> None:
    async def answer_late(request: Request) -> Response:
        await asyncio.sleep(1.0)
        return JSONResponse({"home": str(prefect_home(settings))})

    async def is_healthy(request: Request) -> Response:
        return JSONResponse(True)

    routes = [Route("/api/health", is_healthy), Route("/api/admin/settings", answer_late)]
    monkeypatch.setattr(environment, "_OWN_SERVER_SECONDS", timeout)
    with served(Starlette(routes=routes)) as (_, port):
        own = settings.model_copy(update={"prefect_port": port})
        if timeout > 1:
            assert prefect_answers(own)
        else:
            with pytest.raises(PortTaken):
                prefect_answers(own)


def test_prefect_keeps_its_state_in_our_database_and_home(settings: Settings) -> None:
    environment = flow_environment(settings, URLS, server=False)
    assert environment["PREFECT_API_DATABASE_CONNECTION_URL"].startswith("postgresql+asyncpg://")
    assert environment["PREFECT_HOME"] == str(settings.home / "prefect")


def test_the_mlflow_server_gets_its_store_by_the_environment(settings: Settings) -> None:
    environment = flow_environment(settings, URLS, server=False)
    assert environment["MLFLOW_BACKEND_STORE_URI"] == "postgresql+psycopg://db/mlflow"
    assert environment["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"


def test_a_child_reaches_the_same_place(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in child_settings(settings, URLS).items():
        monkeypatch.setenv(name, value)
    child = load_settings()
    assert child.database_url is not None
    assert child.database_url.get_secret_value() == URLS.perennial
    assert (child.home, child.prefect_port, child.repository) == (
        settings.home,
        4321,
        settings.repository,
    )


def test_applying_forgets_a_prefect_server_of_the_shell(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned = {"PREFECT_API_URL": "https://elsewhere/api", "PREFECT_SERVER_API_BASE_PATH": "/x"}
    monkeypatch.setattr(os, "environ", poisoned)
    monkeypatch.chdir(settings.home.parent)
    apply_environment(flow_environment(settings, URLS, server=False))
    assert not {"PREFECT_API_URL", "PREFECT_SERVER_API_BASE_PATH"} & os.environ.keys()
    assert Path.cwd() == prefect_home(settings)


def test_our_servers_are_reached_past_a_proxy(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "intranet")
    assert (
        flow_environment(settings, URLS, server=True)["NO_PROXY"] == "intranet,127.0.0.1,localhost"
    )
