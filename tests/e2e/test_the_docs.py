"""Every command block of README and docs runs as it stands, and leaves no secret behind.

The blocks run where the small demo was played, after the other stories: they retrain, roll back
and restart. The commands know three planted secrets, one of them the password of the user's own
PostgreSQL.
"""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from core.embedded import hold_server, postmaster
from tests.support.documented import Block, blocks
from tests.support.installations import Place
from tests.support.planted_secrets import (
    DATABASE_PASSWORD,
    DATABASES,
    PASSWORD,
    TOKEN,
    command_lines,
    files_with,
    rows_with,
)
from tests.support.repositories import link_programs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
]  # restarts, a backup and three trainings: some ten minutes
RUN = [block for block in blocks() if not block.elsewhere]
INTENTS = """
  intent:
    source: {query: queries/intents.sql, label: intent}
    head: {kind: logistic}
    min_rows_per_label: 2
    test_days: 10
"""


@pytest.fixture(scope="module")
def server(place: Place, played: dict) -> Iterator[Path]:
    """The place's PostgreSQL with all its rows, moved out of its home; return its socket folder."""
    assert place.perennial("down").returncode == 0
    home = Path(place.environment["PERENNIAL_HOME"])
    own = home.with_name("server")
    home.joinpath("postgres").rename(own)
    with hold_server(own):
        yield own
        place.perennial("down")


@pytest.fixture(scope="module")
def prepared(place: Place, server: Path) -> Place:
    """The place with what the pages assume: a `.venv`, example files, a user, planted secrets."""
    commit = place.run("git", "log", "--all", "--grep", "^One classifier$", "--format=%H").split()[
        -1
    ]
    place.run("git", "checkout", "--quiet", "--force", commit)
    place.run("dvc", "checkout", "--quiet", "--force", "--allow-missing")
    link_programs(place.clone)
    place.clone.joinpath("fixes.csv").write_text("request_id,label,author\n")
    write_intents(place.clone)
    prepared = Place(place.clone, {**place.environment, **planted(server)})
    done = prepared.perennial("up")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
    return prepared


def planted(server: Path) -> dict[str, str]:
    """The server takes any password, so that a planted one changes nothing else."""
    source = f"postgresql://postgres:{PASSWORD}@/demo?host={server}"
    own = f"postgresql://postgres:{DATABASE_PASSWORD}@/perennial?host={server}"
    who = {
        f"GIT_{role}_{field}": "user@localhost"
        for role in ("AUTHOR", "COMMITTER")
        for field in ("NAME", "EMAIL")
    }
    return {
        "PERENNIAL_SOURCE_URL": source,
        "PERENNIAL_DATABASE_URL": own,
        "DEPLOY_TOKEN": TOKEN,
        **who,
    }


def write_intents(clone: Path) -> None:
    drawn = random.Random(3)
    begin = datetime.now(UTC) - timedelta(days=60)
    words = {
        "parcel": ("where is my parcel", "parcel lost"),
        "invoice": ("send the invoice", "invoice is wrong"),
        "greeting": ("hello", "hi"),
    }
    labels = [drawn.choice(list(words)) for _ in range(600)]
    rows = [
        (
            f"{drawn.choice(words[label])} {drawn.randrange(100)}",
            label,
            f"{begin + timedelta(minutes=140 * n):%Y-%m-%d %H:%M:%S}",
        )
        for n, label in enumerate(labels)
    ]
    with sqlite3.connect(clone / "build" / "intents.db") as connection:
        connection.execute("create table ask (phrase text, intent text, occurred_at text)")
        connection.executemany("insert into ask values (?, ?, ?)", rows)
    clone.joinpath("queries", "intents.sql").write_text(
        "select phrase, intent, occurred_at from ask\n"
    )
    with clone.joinpath("params.yaml").open("a", encoding="utf-8") as params:
        params.write(INTENTS)


@pytest.mark.parametrize("block", RUN, ids=lambda block: f"{block.file}:{block.line}")
def test_a_block_runs_as_it_stands(prepared: Place, block: Block) -> None:
    replaced = {
        "localhost:3000": prepared.url("service").removeprefix("http://"),
        "postgresql://reader@db.example/desk": f"sqlite:///{prepared.clone}/build/intents.db",
    }
    done = subprocess.run(
        ["bash", "-c", block.script(replaced)],
        cwd=prepared.clone,
        env=prepared.environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]


def test_every_program_listens_on_loopback_only(prepared: Place) -> None:
    home = prepared.environment["PERENNIAL_HOME"]
    marked = [process for process in psutil.process_iter() if of_home(process, home)]
    listening = [
        (process.name(), connection.laddr.ip)
        for process in marked
        for connection in process.net_connections("tcp")
        if connection.status == "LISTEN"
    ]
    assert len(listening) >= 4, "prefect, mlflow, evidently and the service"
    assert {address for _, address in listening} == {"127.0.0.1"}


def of_home(process: psutil.Process, home: str) -> bool:
    try:
        return process.environ().get("PERENNIAL_SUPERVISED") == home
    except (psutil.Error, OSError):
        return False


def test_the_embedded_postgresql_has_a_socket_and_no_port(prepared: Place, server: Path) -> None:
    running = postmaster(server)
    assert running is not None and running.net_connections("tcp") == []


@pytest.mark.parametrize(
    ("setting", "password", "code"),
    [
        ("SOURCE", PASSWORD, "source_unreachable"),
        ("DATABASE", DATABASE_PASSWORD, "database_unreachable"),
    ],
    ids=["source", "database"],
)
def test_an_unreachable_database_is_reported_without_its_password(
    prepared: Place, setting: str, password: str, code: str
) -> None:
    wrong = {
        **prepared.environment,
        f"PERENNIAL_{setting}_URL": f"postgresql://reader:{password}@127.0.0.1:9/desk",
    }
    done = Place(prepared.clone, wrong).perennial("--json", "retrain", "block")
    assert done.returncode == 1
    assert code in done.stderr
    assert password not in done.stdout + done.stderr


def test_the_search_for_secrets_sees_what_is_there(prepared: Place, server: Path) -> None:
    home = prepared.environment["PERENNIAL_HOME"]
    assert {Path(path).parent.name for path in files_with("127.0.0.1", [Path(home)])} >= {
        "logs",
        "supervisor",
    }
    assert {table.partition(".")[0] for table in rows_with("block", server)} == set(DATABASES)
    assert command_lines(home, but=os.getpid())


@pytest.mark.parametrize(
    "secret", [PASSWORD, DATABASE_PASSWORD, TOKEN], ids=["source", "database", "token"]
)
def test_no_secret_stays_behind(prepared: Place, server: Path, secret: str) -> None:
    """Search files (logs, reports, bentos, journal), rows, command lines and commits."""
    home = Path(prepared.environment["PERENNIAL_HOME"])
    assert files_with(secret, [home, prepared.clone]) == []
    assert rows_with(secret, server) == []
    assert command_lines(secret, but=os.getpid()) == []
    assert secret not in prepared.run("git", "log", "--all", "--patch", "--format=%B%n%an")
