"""A classifier leaves: nothing asks for it or answers for it, and what it learnt is kept."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from core.contracts import ModelVersion
from core.database import DatabaseUrls
from core.deployments import current_champions, history
from core.errors import ParamsError, UnknownClassifier
from core.params.schema import load_params
from core.settings import load_settings
from flows.context import LoopContext
from operations.setup.remove import Removal, remove
from pipelines.git_repository import AUTHOR
from pipelines.promotion import append_promotion

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PARAMS = """
classifiers:
  area:
    source: {query: queries/jobs.sql, label: area}
  level:
    source: {query: queries/jobs.sql, label: level}
  queue:
    source: {query: queries/tickets.sql, label: queue}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "queries").mkdir()
    for name in ("jobs", "tickets"):
        (tmp_path / "queries" / f"{name}.sql").write_text("select 1")
    (tmp_path / "params.yaml").write_text(PARAMS)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "params.yaml", "queries")
    git(tmp_path, "commit", "--quiet", "-m", "Three classifiers")
    return tmp_path


def git(repository: Path, *arguments: str) -> None:
    subprocess.run(["git", *AUTHOR, *arguments], cwd=repository, check=True)


def open_context(repository: Path, database: DatabaseUrls, engine: Engine) -> LoopContext:
    settings = load_settings(repository=repository, home=repository / "home")
    return LoopContext(settings, database, engine, load_params(repository / "params.yaml"))


def test_a_classifier_leaves_and_can_come_back(
    repository: Path, database: DatabaseUrls, engine: Engine
) -> None:
    models = [ModelVersion(name, "1", "/models", "sha256:1", "tiny") for name in ("queue", "area")]
    with engine.begin() as connection:
        for model in models:
            append_promotion(connection, model, why="better", now=NOW)

    removal = remove(open_context(repository, database, engine), "queue", now=NOW)
    query = "queries/tickets.sql"
    assert removal == Removal("queue", query=query, kept="", champion="1", running=False)
    assert list(load_params(repository / "params.yaml").classifiers) == ["area", "level"]
    assert [path.name for path in (repository / "queries").iterdir()] == ["jobs.sql"]
    with engine.begin() as connection:
        assert list(current_champions(connection)) == ["area"]
        assert len(history(connection, "queue")) == 2
        append_promotion(connection, models[0], why="back", now=NOW)
        assert sorted(current_champions(connection)) == ["area", "queue"]


@pytest.mark.parametrize("state", ["changed", "staged", "untracked", "ignored", "no repository"])
def test_a_query_that_git_cannot_give_back_is_kept(
    repository: Path, database: DatabaseUrls, engine: Engine, state: str
) -> None:
    query = repository / "queries" / "tickets.sql"
    if state in {"changed", "staged"}:
        query.write_text("select 2")
    if state == "staged":
        git(repository, "add", "queries")
    if state in {"untracked", "ignored"}:
        git(repository, "rm", "--quiet", "--cached", "queries/tickets.sql")
        git(repository, "commit", "--quiet", "-m", "Forget the query")
    if state == "ignored":
        (repository / ".gitignore").write_text("*.sql")
    if state == "no repository":
        (repository / ".git").rename(repository / "elsewhere")
    text = query.read_text()

    removal = remove(open_context(repository, database, engine), "queue", now=NOW)
    kept = "queries/tickets.sql"
    assert removal == Removal("queue", query="", kept=kept, champion="", running=False)
    assert query.read_text() == text
    assert list(load_params(repository / "params.yaml").classifiers) == ["area", "level"]


def test_a_query_that_is_gone_already_is_not_named(
    repository: Path, database: DatabaseUrls, engine: Engine
) -> None:
    (repository / "queries" / "tickets.sql").unlink()
    removal = remove(open_context(repository, database, engine), "queue", now=NOW)
    assert removal == Removal("queue", query="", kept="", champion="", running=False)


def test_a_query_that_another_block_uses_stays_and_one_classifier_always_does(
    repository: Path, database: DatabaseUrls, engine: Engine
) -> None:
    removal = remove(open_context(repository, database, engine), "area", now=NOW)
    assert removal == Removal("area", query="", kept="", champion="", running=False)
    assert (repository / "queries" / "jobs.sql").exists()
    with pytest.raises(UnknownClassifier):
        remove(open_context(repository, database, engine), "area", now=NOW)
    remove(open_context(repository, database, engine), "level", now=NOW)
    with pytest.raises(ParamsError, match="another classifier"):
        remove(open_context(repository, database, engine), "queue", now=NOW)
    assert list(load_params(repository / "params.yaml").classifiers) == ["queue"]
