"""A place where real retrainings cost seconds.

Three labels, a SavedModel of hashed words, a Prefect server of its own.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import sqlalchemy as sa
import yaml
from sqlalchemy.engine import Engine

from core.database import DatabaseUrls, connect, create_database, open_database, with_driver
from core.settings import Settings
from machine.environment import child_settings, flow_environment
from machine.local_http import answers
from tests.support.places import clean_environment, own_place
from tests.support.processes import Started, wait_for
from tests.support.repositories import ROOT, fresh_clone
from tests.support.training import save_word_embedder, write_snapshot

ALWAYS_PROMOTED = {"max_weighted_f1_drop": 1.0, "max_champion_days": 0.000001}
"""Gate: every champion is too old, so that each retraining ends in a promotion."""
QUERY = "select id, phrase, occurred_at, organ from note"

LOCKS = """
select 1 from pg_locks join pg_database on pg_database.oid = pg_locks.database
where locktype = 'advisory' and datname = current_database()
"""


@dataclass(frozen=True)
class Place:
    """A clone with one classifier, `organ`, its home, its databases and its environment."""

    settings: Settings
    urls: DatabaseUrls
    engine: Engine
    environment: dict[str, str]

    def start(self, *arguments: str, **changes: str) -> subprocess.Popen[str]:
        """Start `python -m ...` as a process group of its own, so that a test can end all of it."""
        command = [sys.executable, "-m", *arguments]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**self.environment, **changes},
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **changes)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def retrain(
        self, when: str = "never", place: str = "", **changes: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a whole retraining, or one that dies on the way (see tests/support/dying.py)."""
        return self.run("tests.support.dying", when, *([place] if place else []), **changes)

    def rows(self, query: str, **values: Any) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(sa.text(query), values))

    def champion(self) -> str | None:
        found = self.rows(
            "select version from deployment where classifier = 'organ' order by id desc limit 1"
        )
        return found[0].version if found else None


def verdict(done: subprocess.CompletedProcess[str]) -> str:
    """The verdict's kind that a retraining printed."""
    assert done.returncode in (0, 3), done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])["verdicts"]["organ"]["kind"]


def build_place(folder: Path, server: DatabaseUrls) -> Place:
    """A fresh clone with one small classifier, and its own databases on the session's server."""
    clone = fresh_clone(folder / "clone")
    save_word_embedder(folder / "embedder")
    write_source(folder / "source.db")
    write_block(
        clone, embedder=folder / "embedder", gate=ALWAYS_PROMOTED, abstain={"max_false": 0.2}
    )
    names = {
        name: f"{name}_{folder.name}".replace("-", "_")
        for name in ("perennial", "prefect", "mlflow")
    }
    for name in names.values():
        create_database(server.perennial, name)
    urls = {
        f"{'' if name == 'perennial' else name + '_'}database_url": server.sibling(own)
        for name, own in names.items()
    }
    settings = own_place(
        folder / "var",
        repository=clone,
        source_url=f"sqlite:///{folder / 'source.db'}",
        **urls,
    )
    settings.home.mkdir()
    with open_database(settings) as opened:
        environment = {
            **clean_environment(),
            **child_settings(settings, opened),
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(folder / "tmp"),
        }
        (folder / "tmp").mkdir()
        return Place(settings, opened, connect(opened.perennial), environment)


def write_block(clone: Path, *, embedder: Path, **more: Any) -> None:
    """One classifier in params.yaml and its query, committed."""
    block = {
        "source": {"query": "queries/notes.sql", "label": "organ"},
        "head": {"kind": "logistic"},
        **more,
    }
    params = {
        "seed": 7,
        "embedder": {"handle": str(embedder)},
        "checks": {"max_age_days": 36500},
        "classifiers": {"organ": block},
    }
    (clone / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    (clone / "queries" / "notes.sql").write_text(QUERY, encoding="utf-8")
    author = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    subprocess.run(["git", "add", "queries", "params.yaml"], cwd=clone, check=True)
    subprocess.run(
        ["git", *author, "commit", "--quiet", "-m", "One classifier"], cwd=clone, check=True
    )


def write_source(path: Path) -> None:
    """The phrases of tests/support/training.py as an SQLite source."""
    rows = pq.read_table(
        write_snapshot(path.parent / "made") / "rows.parquet",
        columns=["id", "phrase", "occurred_at", "organ"],
    ).to_pylist()
    with sqlite3.connect(path) as connection:
        connection.execute("create table note (id text, phrase text, occurred_at text, organ text)")
        values = [
            (row["id"], row["phrase"], row["occurred_at"].isoformat(), row["organ"]) for row in rows
        ]
        connection.executemany("insert into note values (?, ?, ?, ?)", values)


@contextmanager
def prefect_server(place: Place, **changes: str) -> Iterator[subprocess.Popen[bytes]]:
    """One server for all retrainings: an ephemeral one per process would cost ten seconds each."""
    environment = {
        **place.environment,
        **flow_environment(place.settings, place.urls, server=True),
        **changes,
    }
    port = str(place.settings.prefect_port)
    with Started(
        environment, "prefect", "server", "start", "--host", "127.0.0.1", "--port", port
    ) as server:
        wait_for(
            lambda: answers(f"{place.settings.prefect_url}/api/health"),
            seconds=180,
            what="the Prefect server answers",
        )
        yield server


def mlflow_uri(place: Place) -> str:
    return with_driver(place.urls.mlflow, "psycopg")
