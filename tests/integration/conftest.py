"""One served house for the tests of a session; each test finds its service up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from tests.house_kit import House, built_house


@pytest.fixture(scope="session")
def _house() -> Iterator[House]:
    """Not under pytest's folder: another session closes that to PostgreSQL's user, who could then not stop the server."""
    with TemporaryDirectory(prefix="house-", ignore_cleanup_errors=True) as home, built_house(Path(home)) as house:
        yield house


@pytest.fixture
def house(_house: House) -> House:
    _house.ensure_service()
    return _house


@pytest.fixture
def client(house: House) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=house.url, timeout=10) as client:
        yield client
