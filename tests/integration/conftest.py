"""A service with its database, and a place for retrainings: each is built once per session."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from core.database import DatabaseUrls
from tests.support.places import port_settings
from tests.support.retrainings import Place, build_place, prefect_server, verdict
from tests.support.services import House, built_house


@pytest.fixture(scope="session", autouse=True)
def _own_ports() -> Iterator[None]:
    """Another installation, such as a demo that is still up, may hold the default ports."""
    with pytest.MonkeyPatch.context() as patched:
        for name, port in port_settings().items():
            patched.setenv(name, port)
        yield


@pytest.fixture(scope="session")
def place_with_champion(
    tmp_path_factory: pytest.TempPathFactory, database: DatabaseUrls
) -> Iterator[Place]:
    """With a first champion and a Prefect server; it takes the time of two retrainings to build."""
    place = build_place(tmp_path_factory.mktemp("faults"), database)
    with prefect_server(place):
        assert verdict(place.retrain("first")) == "promote"
        yield place
    place.engine.dispose()


@pytest.fixture(scope="session")
def _house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with built_house(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture
def house(_house: House) -> House:
    _house.ensure_service()
    return _house


@pytest.fixture
def client(house: House) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=house.url, timeout=10) as client:
        yield client
