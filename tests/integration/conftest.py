"""One served house for the tests of a session; each test finds its service up."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.house_kit import House, built_house


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
