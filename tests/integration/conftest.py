"""What the integration tests of several files share: a service with its database, and a place for retrainings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from core.database import DatabaseUrls
from tests.support.retrainings import Place, build_place, prefect_server, verdict
from tests.support.services import House, built_house


@pytest.fixture(scope="session")
def place_with_champion(
    tmp_path_factory: pytest.TempPathFactory, database: DatabaseUrls
) -> Iterator[Place]:
    """With a first champion, and a Prefect server for all that follows: two retrainings' time to build."""
    place = build_place(tmp_path_factory.mktemp("faults"), database)
    with prefect_server(place):
        assert verdict(place.retrain("first")) == "promote"
        yield place
    place.engine.dispose()


@pytest.fixture(scope="session")
def _house() -> Iterator[House]:
    """Not under pytest's folder: another session closes that to PostgreSQL's user, who could then not stop the server."""
    with (
        TemporaryDirectory(prefix="house-", ignore_cleanup_errors=True) as home,
        built_house(Path(home)) as house,
    ):
        yield house


@pytest.fixture
def house(_house: House) -> House:
    _house.ensure_service()
    return _house


@pytest.fixture
def client(house: House) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=house.url, timeout=10) as client:
        yield client
