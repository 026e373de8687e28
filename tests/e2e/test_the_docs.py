"""Every command block of README and docs, as it stands, where the small demo was played; and no secret stays behind.

Runs after the other stories of the place: it retrains, rolls back and restarts. The commands know two planted secrets.
"""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from tests.documented import Block, blocks
from tests.e2e.conftest import Place
from tests.e2e.secrets import PASSWORD, TOKEN, command_lines, files_with, rows_with

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # restarts, a backup and three trainings: some ten minutes
RUN = [block for block in blocks() if not block.elsewhere]
INTENTS = """
  intent:
    source: {query: queries/intents.sql, label: intent}
    head: {kind: logistic}
    min_rows_per_label: 2
    test_days: 10
"""


@pytest.fixture(scope="module")
def prepared(place: Place, played: dict) -> Place:
    """The place with what the pages speak of: a `.venv`, the files of their examples, a user; secrets in its environment."""
    commit = place.run("git", "log", "--all", "--grep", "^One classifier$", "--format=%H").split()[-1]
    place.run("git", "checkout", "--quiet", "--force", commit)
    place.run("dvc", "checkout", "--quiet", "--force", "--allow-missing")
    programs = place.clone / ".venv" / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    for name, module in (("perennial", "flows.cli"), ("dvc", "dvc")):
        programs.joinpath(name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
        programs.joinpath(name).chmod(0o755)
    place.clone.joinpath("fixes.csv").write_text("request_id,label,author\n")
    write_intents(place.clone)
    return Place(place.clone, {**place.environment, **planted(place)})


def planted(place: Place) -> dict[str, str]:
    """The embedded server takes any password, so that a planted one changes nothing else."""
    url = f"postgresql://postgres:{PASSWORD}@/demo?host={place.environment['PERENNIAL_HOME']}/postgres"
    who = {f"GIT_{role}_{field}": "user@localhost" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL")}
    return {"PERENNIAL_SOURCE_URL": url, "DEPLOY_TOKEN": TOKEN, **who}


def write_intents(clone: Path) -> None:
    drawn, begin = random.Random(3), datetime.now(UTC) - timedelta(days=60)
    words = {
        "parcel": ("where is my parcel", "parcel lost"),
        "invoice": ("send the invoice", "invoice is wrong"),
        "greeting": ("hello", "hi"),
    }
    labels = [drawn.choice(list(words)) for _ in range(600)]
    rows = [
        (f"{drawn.choice(words[label])} {drawn.randrange(100)}", label, f"{begin + timedelta(minutes=140 * n):%Y-%m-%d %H:%M:%S}")
        for n, label in enumerate(labels)
    ]
    with sqlite3.connect(clone / "build" / "intents.db") as connection:
        connection.execute("create table ask (phrase text, intent text, occurred_at text)")
        connection.executemany("insert into ask values (?, ?, ?)", rows)
    clone.joinpath("queries", "intents.sql").write_text("select phrase, intent, occurred_at from ask\n")
    with clone.joinpath("params.yaml").open("a", encoding="utf-8") as params:
        params.write(INTENTS)


@pytest.mark.parametrize("block", RUN, ids=lambda block: f"{block.file}:{block.line}")
def test_a_block_runs_as_it_stands(prepared: Place, block: Block) -> None:
    replaced = {
        "localhost:3000": prepared.url("service").removeprefix("http://"),
        "postgresql://reader@db.example/desk": f"sqlite:///{prepared.clone}/build/intents.db",
    }
    done = subprocess.run(
        ["bash", "-c", block.script(replaced)], cwd=prepared.clone, env=prepared.environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]


def test_every_program_listens_on_loopback_only(prepared: Place) -> None:
    home = prepared.environment["PERENNIAL_HOME"]
    marked = [process for process in psutil.process_iter() if of_home(process, home)]
    listening = [(process.name(), one.laddr.ip) for process in marked for one in process.net_connections("tcp") if one.status == "LISTEN"]
    assert len(listening) >= 4, "prefect, mlflow, evidently and the service"
    assert {address for _, address in listening} == {"127.0.0.1"}
    assert not [name for name, _ in listening if name.startswith("postgres")], "PostgreSQL has a socket, and no port"


def of_home(process: psutil.Process, home: str) -> bool:
    try:
        return process.environ().get("PERENNIAL_SUPERVISED") == home or f"{home}/postgres" in process.cmdline()
    except (psutil.Error, OSError):
        return False


def test_a_retraining_that_cannot_reach_its_source_tells_no_password(prepared: Place) -> None:
    wrong = {**prepared.environment, "PERENNIAL_SOURCE_URL": f"postgresql://reader:{PASSWORD}@127.0.0.1:9/desk"}
    done = Place(prepared.clone, wrong).perennial("--json", "retrain", "block")
    assert done.returncode == 1
    assert "source_unreachable" in done.stderr
    assert PASSWORD not in done.stdout + done.stderr


@pytest.mark.parametrize("secret", [PASSWORD, TOKEN])
def test_no_secret_stays_behind(prepared: Place, secret: str) -> None:
    home = Path(prepared.environment["PERENNIAL_HOME"])
    assert files_with(secret, [home, prepared.clone]) == []
    assert rows_with(secret, home / "postgres") == []
    assert command_lines(secret, but=os.getpid()) == []
    assert secret not in prepared.run("git", "log", "--all", "--patch", "--format=%B%n%an")
