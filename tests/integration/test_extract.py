"""Extraction from a real PostgreSQL and from SQLite files: streamed, ordered, atomic, retried."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pyarrow as pa
import pytest
import stamina
from sqlalchemy.engine import Connection, Engine

from core.contracts import Snapshot
from core.database import DatabaseUrls
from core.errors import PerennialError, QueryRefused, SourceUnreachable
from core.settings import REPOSITORY
from core.snapshots import previous_summary, record_snapshot
from pipelines.snapshots import summarise, write_snapshot
from pipelines.source.columns import MOMENT, canonical_schema
from pipelines.source.demo import build_demo_source
from pipelines.source.extract import extract, read_batches
from pipelines.source.practice import EPOCH
from pipelines.source.readers import open_reader

LABELS = ("block", "chapter", "encounter_phase")
DIAGNOSES = REPOSITORY / "queries/diagnoses.sql"
NOTES = """
select n as id, 'note ' || n as phrase,
       timestamptz '2025-01-01Z' + n * interval '1 minute' as occurred_at, 'A' as block
"""


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    """Retries happen, at once."""
    with stamina.set_testing(True, attempts=4):
        yield


@pytest.fixture(scope="module")
def source(database: DatabaseUrls) -> Iterator[str]:
    """URL of an empty database beside the others."""
    with psycopg.connect(database.perennial, autocommit=True) as connection:
        connection.execute("create database extraction")
        yield database.perennial.replace("/perennial", "/extraction")
        connection.execute("drop database extraction with (force)")


@pytest.fixture(scope="module")
def demo(source: str) -> str:
    assert build_demo_source(source, scale="small", seed=7) > 18_000
    return source


def run(query: str, url: str, target: Path, **parameters: object) -> int:
    return extract(
        query, url=url, target=target, parameters=parameters, label_columns=["block"]
    ).rows


def test_the_demo_source_comes_out_whole_and_ordered(demo: str, tmp_path: Path) -> None:
    rows = extract(
        DIAGNOSES.read_text(), url=demo, target=tmp_path / "rows.arrow", label_columns=LABELS
    ).rows
    table = pa.Table.from_batches(read_batches(tmp_path / "rows.arrow"))
    keys = list(
        zip(
            table.column("occurred_at").to_pylist(),
            map(int, table.column("id").to_pylist()),
            strict=True,
        )
    )
    assert table.schema == canonical_schema(LABELS) and len(table) == rows > 18_000
    assert keys == sorted(keys) and len(set(keys)) == rows and keys[-1][0] < EPOCH
    assert all(table.column(name).null_count == 0 for name in table.column_names)


def test_the_demo_source_is_the_same_every_time(demo: str, tmp_path: Path) -> None:
    for name in ("first", "second"):
        extract(DIAGNOSES.read_text(), url=demo, target=tmp_path / name, label_columns=LABELS)
        build_demo_source(demo, scale="small", seed=7)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


@pytest.mark.parametrize("driver", ["postgresql", "postgresql+psycopg", "postgresql+asyncpg"])
def test_any_sqlalchemy_url_of_postgresql_is_read(source: str, tmp_path: Path, driver: str) -> None:
    query = f"{NOTES} from generate_series(1, :last) n where 'a%' like 'a%'"
    assert run(query, source.replace("postgresql", driver, 1), tmp_path / "rows.arrow", last=3) == 3
    first = next(read_batches(tmp_path / "rows.arrow")).column("occurred_at")[0]
    assert first.as_py() == datetime(2025, 1, 1, 0, 1, tzinfo=UTC)


def test_memory_stays_constant(source: str, tmp_path: Path) -> None:
    """250 MB of phrases more pass through without the process growing by a fourth of that."""
    program = """
import resource, sys
from pathlib import Path
from pipelines.source.extract import extract
query = "select n as id, repeat(md5(n::text), 16) as phrase, now() as occurred_at, 'A' as block"
query += " from generate_series(1, :last) n"
url, target = sys.argv[1], Path(sys.argv[2])
for last in (250_000, 750_000):
    extract(query, url=url, target=target, parameters={"last": last}, label_columns=["block"])
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
    arguments = [sys.executable, "-c", program, source, str(tmp_path / "rows.arrow")]
    found = subprocess.run(arguments, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    few, many = map(float, found.stdout.split())
    assert sum(map(len, read_batches(tmp_path / "rows.arrow"))) == 750_000
    assert many - few < 60, f"{few:.0f} MB, then {many:.0f} MB"


@pytest.fixture
def lossy(source: str) -> Iterator[str]:
    """A query that ends its own connection in its first `:losses` runs."""
    with psycopg.connect(source, autocommit=True) as connection:
        connection.execute("create sequence run")
        yield (
            f"with this as materialized (select nextval('run') as run) {NOTES}, "
            "case when run <= :losses then pg_terminate_backend(pg_backend_pid())::text end"
            " as region from this, generate_series(1, 5) n"
        )
        connection.execute("drop sequence run")


def test_a_lost_connection_is_retried(source: str, lossy: str, tmp_path: Path) -> None:
    assert run(lossy, source, tmp_path / "rows.arrow", losses=2) == 5


def test_a_connection_lost_too_often_leaves_nothing(
    source: str, lossy: str, tmp_path: Path
) -> None:
    with pytest.raises(SourceUnreachable, match="terminating connection"):
        run(lossy, source, tmp_path / "rows.arrow", losses=1000)
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_the_middle_of_the_stream_is_refused_and_leaves_what_was_there(
    source: str, tmp_path: Path
) -> None:
    target = tmp_path / "rows.arrow"
    target.write_bytes(b"before")
    failing = """
        select n as id, (1 / (100000 - n))::text as phrase, now() as occurred_at, 'A' as block
        from generate_series(1, 120000) n
    """
    with pytest.raises(QueryRefused, match="division by zero"):
        run(failing, source, target)
    assert target.read_bytes() == b"before" and [path.name for path in tmp_path.iterdir()] == [
        "rows.arrow"
    ]


FAILING = """
create or replace function fail(n int, state text) returns int language plpgsql as $$
begin
    if n = 100000 then raise exception 'planned' using errcode = state; end if;
    return n;
end $$
"""


@pytest.mark.parametrize(
    ("state", "raised"),
    [
        ("40001", SourceUnreachable),
        ("40P01", SourceUnreachable),
        ("57P01", SourceUnreachable),
        ("55P03", QueryRefused),
        ("25006", QueryRefused),
        ("0A000", QueryRefused),
        ("P0001", QueryRefused),
    ],
)
@pytest.mark.parametrize("first", [1, 100_000])
def test_every_state_in_the_stream_has_a_name(
    source: str, state: str, raised: type[PerennialError], first: int
) -> None:
    with psycopg.connect(source, autocommit=True) as connection:
        connection.execute(FAILING)
    columns = f"fail(n, '{state}') as id, repeat('x', 99) as phrase"
    query = f"select {columns} from generate_series({first}, 120000) n"
    batches: list[pa.RecordBatch] = []
    with open_reader(source) as reader, pytest.raises(raised, match="planned"):
        batches.extend(reader.stream(query))
    assert bool(batches) == (first == 1)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select 1 as id, 'p' as phrase, now() as occurred_at", "without block"),
        (f"{NOTES} from generate_series(1, 0) n", "at least one row"),
        (
            "select 1 as id, 'p' as phrase, timestamptz 'infinity' as occurred_at, 'A' as block",
            "1 rows of infinite times",
        ),
        (
            "select 1 as id, 'p' as phrase, timestamptz '-infinity' as occurred_at, 'A' as block",
            "1 rows of infinite times",
        ),
        ("select nope from nothing", 'relation "nothing" does not exist'),
        ("select 1 as id, 'p' as phrase, 5 as occurred_at, 'A' as block", "a time in occurred_at"),
        (
            "select 1 as id, 'p' as phrase, null::timestamptz as occurred_at, 'A' as block",
            "a time in occurred_at",
        ),
    ],
)
def test_a_wrong_query_says_what_is_wrong(
    source: str, tmp_path: Path, query: str, message: str
) -> None:
    with pytest.raises(QueryRefused, match=message):
        run(query, source, tmp_path / "rows.arrow")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hush-hush@127.0.0.1:1/db",
        "postgresql+psycopg://me:hush-hush@127.0.0.1:1/db",
        "sqlite:////nowhere/at/all.db",
    ],
)
def test_an_unreachable_source_is_named_without_its_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachable) as caught:
        run(NOTES, url, tmp_path / "rows.arrow")
    assert "hush" not in str(caught.value) and caught.value.retryable


def note(number: int) -> tuple[int, str, str, str | None, int]:
    """A row of `note`, one per second; the last 10,000 of 80,000 have a place."""
    moment = f"{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}"
    place = None if number < 70_000 else "south"
    return number, f"note {number}", f"2025-01-01T{moment}", place, number % 7


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Path:
    path = tmp_path / "source.db"
    with sqlite3.connect(path) as connection:
        connection.execute(
            "create table note (n integer, text text, at text, place text, kind text)"
        )
        connection.executemany("insert into note values (?, ?, ?, ?, ?)", map(note, range(80_000)))
    return path


SQLITE_NOTES = """
select n as id, text as phrase, at as occurred_at, place as region, kind as block
from note where text like :like
"""


def test_sqlite_with_a_column_that_begins_with_nulls(sqlite_file: Path, tmp_path: Path) -> None:
    assert (
        run(SQLITE_NOTES, f"sqlite:///{sqlite_file}", tmp_path / "rows.arrow", like="note %")
        == 80_000
    )
    table = pa.Table.from_batches(read_batches(tmp_path / "rows.arrow"))
    assert table.schema.field("occurred_at").type == MOMENT
    last = datetime(2025, 1, 1, 22, 13, 19, tzinfo=UTC)
    assert table.column("region").null_count == 70_000
    assert table.slice(79_999).to_pylist() == [
        {
            "id": "79999",
            "phrase": "note 79999",
            "occurred_at": last,
            "region": "south",
            "block": "3",
        }
    ]


def test_ids_of_bytes_stay_apart_in_sqlite(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "source.db") as connection:
        connection.execute("create table note (key blob, text text, at text)")
        rows = [(uuid4().bytes, "note", "2025-01-01T00:00:00") for _ in range(300)]
        rows += [(n.to_bytes(8, "big"), "note", "2025-01-01T00:00:00") for n in range(300)]
        connection.executemany("insert into note values (?, ?, ?)", rows)
    query = "select key as id, text as phrase, at as occurred_at, 'A' as block from note"
    target = tmp_path / "rows.arrow"
    extract(query, url=f"sqlite:///{tmp_path}/source.db", target=target, label_columns=["block"])
    ids = pa.Table.from_batches(read_batches(target))["id"].to_pylist()
    assert set(ids) == {key.hex() for key, *_ in rows} and len(set(ids)) == 600


def test_the_snapshot_before_is_found_in_the_table(
    demo: str, engine: Engine, tmp_path: Path
) -> None:
    how: dict[str, Any] = {
        "dataset": "diagnoses",
        "query_file": DIAGNOSES,
        "label_columns": LABELS,
        "parameters": {},
        "source_url": demo,
        "feedback": None,
    }
    snapshot = write_snapshot(tmp_path / "diagnoses", as_of=EPOCH, previous=None, **how)
    with engine.begin() as connection:
        record_snapshot(
            connection,
            snapshot,
            git_tag="retrain-1",
            summary=summarise(tmp_path / "diagnoses"),
            trained=LABELS,
        )

        def before(dataset: str, moment: datetime) -> dict[str, Any] | None:
            return previous_summary(connection, dataset, before=moment, columns=LABELS)

        later = datetime(2026, 2, 1, tzinfo=UTC)
        found = before("diagnoses", later)
        assert found is not None and found["rows"] == snapshot.rows
        assert sorted(found["labels"]) == sorted(LABELS)
        assert before("diagnoses", EPOCH) is None
        assert before("others", later) is None


def test_a_column_is_compared_with_the_newest_snapshot_that_trained_on_it(engine: Engine) -> None:
    """A renamed label of one classifier is not taken for known because another one trained."""

    def record(connection: Connection, day: int, labels: dict[str, Any], **more: Any) -> None:
        moment = datetime(2026, 3, day, tzinfo=UTC)
        known = Snapshot("notes", moment, rows=day, logical_hash="h", query_hash="q")
        summary = {"as_of": moment.isoformat(), "rows": day, "labels": labels}
        record_snapshot(connection, known, summary=summary, **more)

    with engine.begin() as connection:
        old = {"organ": {"heart": 1}, "side": {"left": 1}}
        record(connection, 1, old, git_tag="retrain-1", trained=["organ", "side"])
        renamed = {"organ": {"Herz": 2}, "side": {"right": 2}}
        record(connection, 2, renamed, git_tag="retrain-2", trained=["side"])
        record(connection, 3, {"organ": {"a look": 3}}, git_tag="", trained=["organ"])
        found = previous_summary(
            connection,
            "notes",
            before=datetime(2026, 3, 9, tzinfo=UTC),
            columns=["organ", "side", "new"],
        )
    assert found is not None and found["rows"] == 2
    assert found["labels"] == {"organ": {"heart": 1}, "side": {"right": 2}}
