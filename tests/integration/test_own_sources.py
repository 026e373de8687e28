"""Blocks of different sources stand side by side, and an error names the source of its block."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine

from core.database import DatabaseUrls
from core.errors import PerennialError, QueryRefused, SettingsError, SourceUnreachable
from core.params.schema import load_params
from core.settings import load_settings
from flows.context import LoopContext
from flows.snapshot import write_snapshots

AS_OF = datetime(2026, 2, 1, tzinfo=UTC)
PARAMS = """
classifiers:
  shared:
    source: {query: queries/posts.sql, label: label}
  named:
    source: {from: tickets, query: queries/posts.sql, label: label}
  kept:
    source: {from: exports/posts.csv, query: queries/posts.sql, label: label}
"""
Open = Callable[..., LoopContext]


@pytest.fixture
def open_place(tmp_path: Path, database: DatabaseUrls, engine: Engine) -> Open:
    """A repository with three blocks of one query; each test sets what it wants set."""
    repository = tmp_path / "repository"
    for folder in ("queries", "exports"):
        (repository / folder).mkdir(parents=True)
    query = "select text as phrase, '2026-01-01' as occurred_at, label from posts"
    (repository / "queries" / "posts.sql").write_text(query)
    (repository / "params.yaml").write_text(PARAMS)
    (repository / "exports" / "posts.csv").write_text("text,label\nfrom the repository,A\n")
    for name in ("shared", "named"):
        with sqlite3.connect(tmp_path / f"{name}.db") as connection:
            connection.execute("create table posts (text text, label text)")
            connection.execute("insert into posts values (?, 'A')", [f"from {name}"])

    def open_place(**given: object) -> LoopContext:
        settings = load_settings(repository=repository, home=tmp_path / "home", **given)
        return LoopContext(settings, database, engine, load_params(repository / "params.yaml"))

    return open_place


def test_each_block_reads_its_own_source(open_place: Open, tmp_path: Path) -> None:
    context = open_place(
        source_url=f"sqlite:///{tmp_path}/shared.db",
        sources={"tickets": f"sqlite:///{tmp_path}/named.db"},
    )
    classifiers = ["shared", "named", "kept"]
    snapshots = write_snapshots(context, tmp_path / "data", classifiers, as_of=AS_OF)
    phrases = {
        name: pq.read_table(tmp_path / "data" / snapshot.dataset / "rows.parquet")["phrase"]
        for name, snapshot in zip(classifiers, snapshots, strict=True)
    }
    assert {name: column.to_pylist() for name, column in phrases.items()} == {
        "shared": ["from shared"],
        "named": ["from named"],
        "kept": ["from the repository"],
    }
    assert len({snapshot.dataset for snapshot in snapshots}) == 3


def test_a_source_of_its_own_needs_no_shared_one(open_place: Open, tmp_path: Path) -> None:
    context = open_place(source_url=None)
    (snapshot,) = write_snapshots(context, tmp_path / "data", ["kept"], as_of=AS_OF)
    assert snapshot.rows == 1


@pytest.mark.parametrize(
    ("classifier", "sources", "error", "words"),
    [
        ("named", {}, SettingsError, "no PERENNIAL_SOURCE_TICKETS_URL"),
        ("named", {"tickets": "gone.csv"}, SourceUnreachable, "correct PERENNIAL_SOURCE_TICKETS"),
        ("named", {"tickets": "other.csv"}, QueryRefused, "posts does not exist"),
        ("kept", {}, SourceUnreachable, "correct source.from in params.yaml, or exports/posts.csv"),
    ],
)
def test_an_error_names_the_source_of_its_block(
    open_place: Open,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    classifier: str,
    sources: dict[str, str],
    error: type[PerennialError],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.csv").write_text("text,label\na,A\n")
    (tmp_path / "repository" / "exports" / "posts.csv").unlink()
    context = open_place(sources=sources)
    with pytest.raises(error, match=words) as caught:
        write_snapshots(context, tmp_path / "data", [classifier], as_of=AS_OF)
    assert "PERENNIAL_SOURCE_URL" not in str(caught.value)
