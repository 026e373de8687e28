"""Databases without ADBC are streamed through SQLAlchemy; DuckDB stands for all of them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from core.errors import QueryRefused, SourceUnreachable
from core.settings import REPOSITORY
from pipelines.source.extract import Extraction, extract, read_batches

ROWS = 50_000
MADE = """
    select n as id, 'Anfrage ' || n || ' 見積もり' as text,
           timestamp '2025-01-01' + n * interval 1 minute as moment,
           n % 3 = 0 as urgent, case when n > 40000 then 'süd' end as place
    from range({rows}) made(n)
"""
QUERY = """
select {id}, text as phrase, moment as occurred_at, urgent, place as region
from note where text like :like
"""


@pytest.fixture(scope="module")
def duck(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("duck") / "notes.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"create table note as {MADE.format(rows=ROWS)}")
    return path


@pytest.fixture
def lite(duck: Path, tmp_path: Path) -> Path:
    """The same rows as an SQLite file, which ADBC reads."""
    with duckdb.connect(str(duck), read_only=True) as connection:
        rows = connection.execute(
            "select id, text, strftime(moment, '%Y-%m-%dT%H:%M:%S'), urgent::text, place from note"
        ).fetchall()
    with sqlite3.connect(tmp_path / "notes.db") as connection:
        connection.execute(
            "create table note (id integer, text text, moment text, urgent text, place text)"
        )
        connection.executemany("insert into note values (?, ?, ?, ?, ?)", rows)
    return tmp_path / "notes.db"


def run(
    url: str, target: Path, *, query: str = QUERY.format(id="id"), like: str = "Anfrage%"
) -> Extraction:
    return extract(
        query, url=url, target=target, parameters={"like": like}, label_columns=["urgent"]
    )


@pytest.mark.parametrize("key", ["id", "0 as unused"])
def test_equal_rows_are_equal_whatever_the_way(
    duck: Path, lite: Path, tmp_path: Path, key: str
) -> None:
    query = QUERY.format(id=key)
    streamed = run(f"duckdb:///{duck}", tmp_path / "streamed", query=query)
    assert (
        streamed
        == run(f"sqlite:///{lite}", tmp_path / "adbc", query=query)
        == Extraction(rows=ROWS, zoneless=ROWS)
    )
    by_way = [pa.Table.from_batches(read_batches(tmp_path / name)) for name in ("streamed", "adbc")]
    columns = (
        by_way[0].column_names if key == "id" else by_way[0].column_names[1:]
    )  # a made id names the time as it came
    assert by_way[0].select(columns) == by_way[1].select(columns)
    assert len(set(by_way[0]["id"].to_pylist())) == ROWS and set(
        by_way[0]["urgent"].to_pylist()
    ) == {"true", "false"}


def test_what_is_wrong_is_named(duck: Path, tmp_path: Path) -> None:
    with pytest.raises(QueryRefused, match="without urgent"):
        run(
            f"duckdb:///{duck}",
            tmp_path / "rows",
            query="select text as phrase, moment as occurred_at from note where text like :like",
        )
    with pytest.raises(QueryRefused, match="nothing does not exist"):
        run(f"duckdb:///{duck}", tmp_path / "rows", query="select * from nothing where :like = ''")
    with pytest.raises(QueryRefused, match="at least one row"):
        run(f"duckdb:///{duck}", tmp_path / "rows", like="nobody")
    with pytest.raises(SourceUnreachable):
        run(f"duckdb:///{tmp_path}/no/such/file.duckdb?access_mode=read_only", tmp_path / "rows")
    assert not (tmp_path / "rows").exists()


def test_ids_of_bytes_stay_apart(tmp_path: Path) -> None:
    keys = [(2**63 + n).to_bytes(8, "big") for n in range(600)]
    with duckdb.connect(str(tmp_path / "keys.duckdb")) as connection:
        connection.execute("create table note (key blob)")
        connection.executemany("insert into note values (?)", [(key,) for key in keys])
    query = "select key as id, 'a' as phrase, date '2025-01-01' as occurred_at, 'b' as urgent"
    target = tmp_path / "rows"
    extract(
        f"{query} from note",
        url=f"duckdb:///{tmp_path}/keys.duckdb",
        target=target,
        label_columns=["urgent"],
    )
    ids = pa.Table.from_batches(read_batches(target))["id"].to_pylist()
    assert len(set(ids)) == 600 and not any("\ufffd" in key for key in ids)


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """Ten times the rows are 200 MB more text; the peak grows by little but DuckDB's 64 MB."""
    program = """
import resource, sys
from pathlib import Path
from pipelines.source.extract import extract
query = "select n as id, repeat(md5(n::text), 12) as phrase, 'A' as kind"
query += ", timestamp '2025-01-01' + n * interval 1 second as occurred_at"
rows, = map(int, sys.argv[3:])
query += f" from range({rows}) made(n)"
extract(query, url=sys.argv[1], target=Path(sys.argv[2]), label_columns=["kind"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""

    def peak(rows: int) -> float:
        url = f"duckdb:///{tmp_path}/empty{rows}.duckdb?memory_limit=64MB&threads=1"
        command = [sys.executable, "-c", program, url, str(tmp_path / "rows.arrow"), str(rows)]
        return float(
            subprocess.run(
                command, capture_output=True, text=True, check=True, cwd=REPOSITORY
            ).stdout.split()[-1]
        )

    few = peak(60_000)
    many = peak(600_000)
    assert sum(map(len, read_batches(tmp_path / "rows.arrow"))) == 600_000
    assert many - few < 100, f"{few:.0f} MB, then {many:.0f} MB"


LEAKING = """
import atexit
import sys
from cli.app import silence_duckdb
if sys.argv[1] == "quiet":
    atexit.register(silence_duckdb)
atexit.register(print, "the last words", file=sys.stderr)
import great_expectations
import duckdb_engine
"""


def test_a_command_that_read_duckdb_ends_without_words_of_its_binding() -> None:
    heard = {
        manner: subprocess.run(
            [sys.executable, "-c", LEAKING, manner],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
        ).stderr
        for manner in ("loud", "quiet")
    }
    assert "nanobind: leaked" in heard["loud"], "without leaks, remove `silence_duckdb`"
    assert "nanobind" not in heard["quiet"]
    assert "the last words" in heard["quiet"]
