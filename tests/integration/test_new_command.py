"""`perennial new` and the commit that it makes, as a person calls it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine, make_url

from core.database import DatabaseUrls
from core.settings import load_settings
from operations.setup.new import set_up
from operations.setup.source_columns import Wanted
from tests.support.repositories import ROOT

NO_GIT_SETTINGS = {"HOME": "/nowhere", "XDG_CONFIG_HOME": "/nowhere"}
"""Git knows who commits from the environment alone, as in a container."""
BLOCK = "classifiers:\n  one:\n    source: {query: queries/one.sql, label: one}\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    repository = tmp_path / "repository"
    (repository / "queries").mkdir(parents=True)
    (repository / "params.yaml").write_text(BLOCK)
    lines = [f"{('good', 'bad')[n % 2]} number {n},{'AB'[n % 2]}" for n in range(300)]
    (repository / "rows.csv").write_text("\n".join(["text,kind", *lines]))
    git(repository, "init", "--quiet")
    git(repository, "add", "params.yaml")
    git(repository, "commit", "--quiet", "-m", "One classifier")
    return repository


def environment(repository: Path) -> dict[str, str]:
    who = {
        f"GIT_{role}_{field}": "user@localhost"
        for role in ("AUTHOR", "COMMITTER")
        for field in ("NAME", "EMAIL")
    }
    home = repository.parent / "home"
    own = {"PERENNIAL_REPOSITORY": str(repository), "PERENNIAL_HOME": str(home)}
    return {**os.environ, **who, **own, **NO_GIT_SETTINGS}


def git(repository: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=repository,
        env=environment(repository),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def new(repository: Path, *options: str) -> subprocess.CompletedProcess[str]:
    source = str(repository / "rows.csv")
    command = ["new", "kind", source, "--text", "text", "--label", "kind", *options]
    return subprocess.run(
        [sys.executable, "-m", "cli.app", *command],
        cwd=ROOT,
        env=environment(repository),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def test_the_query_and_the_block_alone_are_committed_by_the_user(repository: Path) -> None:
    (repository / "notes.txt").write_text("of the user")
    git(repository, "add", "notes.txt")
    done = new(repository, "--age", "3", "--commit", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["look"]["rows"] == 300
    shown = git(repository, "show", "--format=%an: %s", "--name-only")
    assert shown.split("\n\n") == [
        "user@localhost: Add the classifier kind",
        "params.yaml\nqueries/kind.sql\n",
    ]
    assert git(repository, "status", "--porcelain") == "A  notes.txt\n?? rows.csv\n"
    assert "committed queries/kind.sql and params.yaml" in done.stderr
    assert "next: perennial retrain kind" in done.stderr
    assert "git commit" not in done.stderr


def test_a_commit_that_fails_is_reported_and_the_next_steps_are_named(repository: Path) -> None:
    hook = repository / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho refused by the hook >&2\nexit 1\n")
    hook.chmod(0o755)
    done = new(repository, "--age", "3", "--commit")
    assert done.returncode == 0, done.stderr
    assert "refused by the hook" in done.stderr
    assert "next: git add --all queries/kind.sql params.yaml && git commit" in done.stderr
    assert "next: perennial retrain kind" in done.stderr
    assert git(repository, "log", "--format=%s") == "One classifier\n"


def test_a_table_of_postgresql_is_read_and_its_password_is_not_shown(
    repository: Path, database: DatabaseUrls, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                'create table "Mail" as select \'number \' || n as "Subject", n % 2 = 0 as done, '
                "timestamptz '2026-01-01Z' + n * interval '1 hour' as at "
                "from generate_series(1, 500) n"
            )
        )
    try:
        url = make_url(database.perennial).set(password="sEcr3t").render_as_string(False)
        settings = load_settings(repository=repository, source_url=None)
        wanted = Wanted("Subject", "done", "at", time_format=None, dated=None, table="Mail")
        setup = set_up(settings, "done", url, wanted, now=datetime(2026, 3, 1, tzinfo=UTC))
    finally:
        with engine.begin() as connection:
            connection.execute(sa.text('drop table "Mail"'))
    assert setup.look.labels == {"false": 250, "true": 250}
    assert (setup.variable, setup.address) == ("PERENNIAL_SOURCE_DONE_URL", "")
    assert "sEcr3t" not in f"{setup}" + (repository / "params.yaml").read_text()
    assert '"Subject" as phrase' in (repository / "queries" / "done.sql").read_text()


def test_without_a_terminal_nothing_is_asked_and_the_next_steps_are_named(
    repository: Path,
) -> None:
    refused = new(repository)
    assert refused.returncode == 2
    assert "--age" in refused.stderr
    done = new(repository, "--age", "3")
    assert done.returncode == 0, done.stderr
    assert "git commit -m 'Add the classifier kind'" in done.stderr
    assert git(repository, "log", "--format=%s") == "One classifier\n"
