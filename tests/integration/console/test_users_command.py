"""`perennial users` and `perennial console` as processes; no secret in what they print."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from console.access.sign_in import COOKIE
from console.access.users import find_user
from core.database import DatabaseUrls
from core.tables.console import console_change
from tests.support.places import clean_environment, free_port, port_settings
from tests.support.processes import wait_until
from tests.support.repositories import ROOT

PASSWORD = "five planted random words"


@pytest.fixture
def place(database: DatabaseUrls, engine: Engine, tmp_path: Path) -> dict[str, str]:
    """The environment of a home on the session's database."""
    return {
        **clean_environment(),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PERENNIAL_HOME": str(tmp_path / "home"),
        "PERENNIAL_DATABASE_URL": database.perennial,
        "PERENNIAL_PREFECT_DATABASE_URL": database.prefect,
        "PERENNIAL_MLFLOW_DATABASE_URL": database.mlflow,
        **port_settings(),
        "PERENNIAL_CONSOLE_PORT": str(free_port()),
    }


def users(place: dict[str, str], *arguments: str, stdin: str = "") -> Any:
    return subprocess.run(
        [sys.executable, "-m", "cli.app", "users", *arguments],
        env=place,
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        text=True,
    )


def test_people_come_change_and_go(place: dict[str, str], engine: Engine) -> None:
    added = users(place, "add", "ada", "--role", "reviewer", stdin=f"{PASSWORD}\n")
    assert added.returncode == 0, added.stderr
    assert users(place, "role", "ada", "operator").returncode == 0
    listed = json.loads(users(place, "list", "--json").stdout)["users"]
    assert [(row["name"], row["role"], row["by"]) for row in listed] == [
        ("ada", "operator", "password")
    ]
    with engine.connect() as connection:
        before = find_user(connection, "ada")
    assert users(place, "password", "ada", stdin="another planted password\n").returncode == 0
    with engine.connect() as connection:
        after = find_user(connection, "ada")
    assert before and after and before.session_key != after.session_key
    again = users(place, "add", "ada", stdin=f"{PASSWORD}\n")
    assert again.returncode == 2 and "a new name" in again.stderr
    short = users(place, "add", "bob", stdin="short\n")
    assert short.returncode == 2 and "12 to 1000" in short.stderr and "short\n" not in short.stderr
    assert users(place, "remove", "ada").returncode == 0
    assert users(place, "remove", "ada").returncode == 2
    for run in (added, again):
        assert PASSWORD not in run.stdout + run.stderr
    with engine.connect() as connection:
        assert PASSWORD not in str(connection.execute(sa.select(console_change)).all())


def test_a_password_is_no_argument(place: dict[str, str]) -> None:
    help_text = " ".join(users(place, "add", "--help").stdout.split())
    assert "--password" not in help_text and "standard input" in help_text


@contextmanager
def running(place: dict[str, str], log: Path) -> Iterator[str]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.app", "console"],
            env=place,
            cwd=ROOT,
            stdout=output,
            stderr=output,
        )
        url = f"http://127.0.0.1:{place['PERENNIAL_CONSOLE_PORT']}"
        try:
            wait_until(lambda: lives(url, process), seconds=120, what="the console answers")
            yield url
        finally:
            process.terminate()
            process.wait(30)


def lives(url: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the console ended"
    try:
        return httpx.get(f"{url}/livez").is_success
    except httpx.HTTPError:
        return False


def test_a_public_console_without_people_ends_with_the_remedy(place: dict[str, str]) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "cli.app", "console"],
        env={**place, "PERENNIAL_HOST": "0.0.0.0"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 2
    assert "perennial users add NAME" in run.stderr


def test_no_secret_reaches_a_log(place: dict[str, str], tmp_path: Path) -> None:
    users(place, "add", "ada", stdin=f"{PASSWORD}\n")
    log = tmp_path / "console.log"
    with running(place, log) as url, httpx.Client(base_url=url) as client:
        wrong = {"name": "ada", "password": "a planted wrong password"}
        assert client.post("/login", data=wrong).status_code == 401
        right = {"name": "ada", "password": PASSWORD}
        assert client.post("/login", data=right).status_code == 303
        assert client.get("/").status_code == 200
        cookie = client.cookies[COOKIE]
        secret_code = "planted-code"
        client.get(f"/login/openid/callback?code={secret_code}&state=x")
    secret = Path(place["PERENNIAL_HOME"], "console-secret").read_bytes()
    written = log.read_bytes()
    assert b"sign in" in written and b"granted" in written and b"refused" in written
    for planted in (PASSWORD, wrong["password"], cookie, secret_code, secret.hex()):
        assert planted.encode() not in written
    assert secret not in written
