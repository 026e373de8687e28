"""Fixtures that every tier shares. One embedded PostgreSQL serves the whole test session."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy.engine import Engine

from core.database import DatabaseUrls, connect, open_database
from core.settings import Settings
from core.tables.all import metadata
from tests.support.places import own_place

if TYPE_CHECKING:
    from tests.support.request_paths import Bench

# Machines are slow and noisy: no example has a deadline.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# A background job of a shell ignores Ctrl-C, and so would the programs that tests start from it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give each session a folder of its own.

    In the one that pytest shares, another session closes the folder to PostgreSQL's user.
    """
    if config.option.basetemp is None:
        config.option.basetemp = mkdtemp(prefix="perennial-tests-")
        config.add_cleanup(lambda: rmtree(config.option.basetemp, ignore_errors=True))


@pytest.fixture(scope="session", autouse=True)
def dvc_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the state of DVC calls made by tests out of folders that all users may write to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path_factory.mktemp("dvc")))
        yield


@pytest.fixture(scope="session")
def session_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return own_place(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def database(session_settings: Settings) -> Iterator[DatabaseUrls]:
    with open_database(session_settings) as urls:
        yield urls


@pytest.fixture
def engine(database: DatabaseUrls) -> Iterator[Engine]:
    engine = connect(database.perennial)
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    yield engine
    engine.dispose()


@pytest.fixture
def tmp_home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """The request path, answering by version 1 of `organ`."""
    from tests.support.request_paths import Bench

    bench = Bench(tmp_path)
    bench.promote("organ", "1")
    yield bench
    bench.journal.close()
    bench.feedback.close()
