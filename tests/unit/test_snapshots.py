"""The logical hash, and how feedback and source rows become one snapshot."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import QueryRefused
from pipelines.snapshot_merge import NO_LABEL
from pipelines.snapshots import logical_hash, query_hash, summarise, write_snapshot
from pipelines.source.columns import MOMENT, canonical_schema
from pipelines.stages.labelled_rows import labelled_rows

SCHEMA = canonical_schema(["block"]).append(pa.field("origin", pa.string()))
AS_OF = datetime(2026, 1, 1, tzinfo=UTC)

texts = st.none() | st.text(max_size=6)
row_values = st.fixed_dictionaries(
    {
        "id": st.text(max_size=4),
        "phrase": texts,
        "occurred_at": st.integers(0, 2**50),
        "region": texts,
        "block": texts,
        "origin": st.sampled_from(["source", "feedback"]),
    }
)


def table(rows: list[dict]) -> pa.Table:
    columns = [
        pa.array(
            [row[field.name] for row in rows], pa.int64() if field.type == MOMENT else field.type
        )
        for field in SCHEMA
    ]
    return pa.table(
        [column.cast(field.type) for column, field in zip(columns, SCHEMA, strict=True)],
        schema=SCHEMA,
    )


@given(st.lists(row_values, max_size=8), st.randoms(use_true_random=False))
def test_same_rows_in_any_order_have_the_same_hash(rows: list[dict], random) -> None:
    shuffled = random.sample(rows, len(rows))
    assert logical_hash(table(shuffled)) == logical_hash(table(rows))


@given(st.lists(row_values, min_size=1, max_size=6), st.data())
def test_a_changed_cell_changes_the_hash(rows: list[dict], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(rows) - 1))
    name = data.draw(st.sampled_from(SCHEMA.names))
    value = rows[place][name]
    other = value + 1 if isinstance(value, int) else (value or "") + "x"
    changed = [*rows[:place], {**rows[place], name: other}, *rows[place + 1 :]]
    assert logical_hash(table(changed)) != logical_hash(table(rows))


@given(st.lists(row_values, min_size=1, max_size=4))
def test_the_hash_counts_equal_rows(rows: list[dict]) -> None:
    assert logical_hash(table([*rows, rows[0]])) != logical_hash(table(rows))


def test_the_hash_does_not_depend_on_the_order_of_columns_or_on_batches() -> None:
    original = table(
        [
            {
                "id": str(n),
                "phrase": "p",
                "occurred_at": n,
                "region": None,
                "block": "A",
                "origin": "source",
            }
            for n in range(9)
        ]
    )
    turned = original.select(list(reversed(original.column_names)))
    split = pa.concat_tables([original.slice(0, 4), original.slice(4)])
    assert logical_hash(turned) == logical_hash(original) == logical_hash(split)


def test_null_and_the_empty_text_differ() -> None:
    row = {
        "id": "1",
        "phrase": "",
        "occurred_at": 0,
        "region": None,
        "block": "A",
        "origin": "source",
    }
    assert logical_hash(table([row])) != logical_hash(table([{**row, "phrase": None}]))


def test_query_hash_depends_on_text_parameters_and_labels() -> None:
    options: dict[str, Any] = {"parameters": {"a": 1}, "label_columns": ["x", "y"]}
    first = query_hash("select 1", **options)
    assert first == query_hash("select 1", parameters={"a": 1}, label_columns=["y", "x"])
    others = [
        query_hash("select 2", **options),
        query_hash("select 1", parameters={"a": 2}, label_columns=["x", "y"]),
    ]
    assert first not in others


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.db"
    with sqlite3.connect(path) as connection:
        connection.execute(
            "create table note (id integer, phrase text, at text, block text, chapter text)"
        )
        rows = [
            (n, f"phrase {n}", f"2025-12-{n + 1:02d}T08:00:00", f"B{n % 2}", "C") for n in range(10)
        ]
        connection.executemany("insert into note values (?, ?, ?, ?, ?)", rows)
    return path


@pytest.fixture
def query_file(tmp_path: Path) -> Path:
    path = tmp_path / "queries" / "notes.sql"
    path.parent.mkdir()
    path.write_text("select id, phrase, at as occurred_at, block, chapter from note")
    return path


def feedback(*changes: dict) -> pa.Table:
    row = {
        "id": "r1",
        "phrase": "corrected",
        "occurred_at": datetime(2026, 1, 1, tzinfo=UTC),
        "region": "north",
        "block": "B9",
    }
    rows = [{**row, "origin": "feedback", **change} for change in changes]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def snap(
    folder: Path,
    source: Path,
    query_file: Path,
    late: pa.Table | None = None,
    previous: dict | None = None,
):
    return write_snapshot(
        folder,
        dataset="notes",
        query_file=query_file,
        label_columns=["chapter", "block"],
        parameters={},
        source_url=f"sqlite:///{source}",
        as_of=AS_OF,
        feedback=late,
        previous=previous,
    )


def test_a_snapshot_holds_source_rows_and_facts(
    tmp_path: Path, source: Path, query_file: Path
) -> None:
    snapshot = snap(tmp_path / "notes", source, query_file)
    written = pq.read_table(tmp_path / "notes/rows.parquet")
    assert written.column_names == [
        "id",
        "phrase",
        "occurred_at",
        "region",
        "block",
        "chapter",
        "origin",
    ]
    assert (
        set(written.column("origin").to_pylist()) == {"source"}
        and written.column("region").null_count == 10
    )
    assert snapshot.rows == 10 and snapshot.logical_hash == logical_hash(written)
    facts = json.loads((tmp_path / "notes/snapshot.json").read_text())
    assert (facts["rows"], facts["logical_hash"], facts["as_of"]) == (
        10,
        snapshot.logical_hash,
        "2026-01-01T00:00:00+00:00",
    )
    assert json.loads((tmp_path / "notes/previous.json").read_text()) == {}
    assert sorted(path.name for path in (tmp_path / "notes").iterdir()) == [
        "previous.json",
        "rows.parquet",
        "snapshot.json",
    ]


def test_equal_rows_make_equal_bytes(tmp_path: Path, source: Path, query_file: Path) -> None:
    for name in ("one", "two"):
        snap(tmp_path / name, source, query_file, feedback({}))
    for file in ("rows.parquet", "snapshot.json", "previous.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_batches_of_any_size_make_equal_row_groups(
    tmp_path: Path, source: Path, query_file: Path
) -> None:
    numbers = (
        "with recursive numbers(n) as "
        "(select 0 union all select n + 1 from numbers where n < 149999)"
    )
    columns = "n as id, 'p' as phrase, '2025-12-01' as occurred_at, 'B' as block, 'C' as chapter"
    query_file.write_text(f"{numbers} select {columns} from numbers")
    snap(tmp_path / "data", source, query_file)
    file = pq.ParquetFile(tmp_path / "data" / "rows.parquet").metadata
    assert [file.row_group(number).num_rows for number in range(file.num_row_groups)] == [
        65_536,
        65_536,
        18_928,
    ]


def test_rows_of_the_future_behind_a_full_group_leave_no_empty_one(
    tmp_path: Path, source: Path, query_file: Path
) -> None:
    numbers = (
        "with recursive numbers(n) as "
        "(select 0 union all select n + 1 from numbers where n < 65545)"
    )
    columns = (
        "n as id, 'p' as phrase, 'B' as block, 'C' as chapter, "
        "case when n < 65536 then '2025-12-01' else '2027-01-01' end as occurred_at"
    )
    query_file.write_text(f"{numbers} select {columns} from numbers")
    assert snap(tmp_path / "data", source, query_file).rows == 65_536
    assert pq.ParquetFile(tmp_path / "data" / "rows.parquet").num_row_groups == 1


def test_feedback_replaces_the_source_row_of_its_id_and_keeps_its_other_labels(
    tmp_path: Path, source: Path, query_file: Path
) -> None:
    late = feedback({}, {"id": "3", "occurred_at": datetime(2025, 12, 31, tzinfo=UTC)})
    snapshot = snap(tmp_path / "notes", source, query_file, late)
    by_id = {row["id"]: row for row in pq.read_table(tmp_path / "notes/rows.parquet").to_pylist()}
    assert snapshot.rows == len(by_id) == 11
    assert (by_id["3"]["block"], by_id["3"]["chapter"], by_id["3"]["origin"]) == (
        "B9",
        "C",
        "both",
    )
    assert by_id["r1"]["origin"] == "feedback" and by_id["4"]["origin"] == "source"


def test_a_row_that_no_label_fits_loses_its_label_and_keeps_the_others(
    tmp_path: Path, source: Path, query_file: Path
) -> None:
    late = feedback({"id": "3", "block": NO_LABEL}, {"id": "gone", "block": NO_LABEL})
    snap(tmp_path / "notes", source, query_file, late)
    table = pq.read_table(tmp_path / "notes/rows.parquet")
    by_id = {row["id"]: row for row in table.to_pylist()}
    assert len(by_id) == 10
    assert (by_id["3"]["block"], by_id["3"]["chapter"]) == (None, "C")
    learnt = labelled_rows(table, label="block").ids
    assert "3" not in learnt and len(learnt) == 9
    counts = summarise(tmp_path / "notes")["labels"]
    assert (sum(counts["block"].values()), sum(counts["chapter"].values())) == (9, 10)


def test_the_order_of_feedback_does_not_matter(
    tmp_path: Path, source: Path, query_file: Path
) -> None:
    late = feedback(
        {"id": "a"}, {"id": "b"}, {"id": "c", "occurred_at": datetime(2025, 12, 1, tzinfo=UTC)}
    )
    first = snap(tmp_path / "one", source, query_file, late)
    second = snap(tmp_path / "two", source, query_file, late.take([2, 0, 1]))
    assert first == second
    assert (tmp_path / "one/rows.parquet").read_bytes() == (
        tmp_path / "two/rows.parquet"
    ).read_bytes()


plain = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00\ue000"), max_size=3
)
ROW = st.tuples(
    plain,
    st.sampled_from(["2025-12-01", "2025-12-01T00:00:00+00:00", "2025-12-02 08:00:00"]),
    st.sampled_from(["a", "A", "b"]),
)
KEYLESS = "select phrase, at as occurred_at, block, block as chapter from note"


@settings(max_examples=30)
@given(st.lists(ROW, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_rows_without_id_in_any_order_are_one_snapshot(rows: list[tuple], random) -> None:
    made = [snapshot_of(rows), snapshot_of(random.sample(rows, len(rows)))]
    assert made[0] == made[1]
    assert len(set(made[0][1]["id"].to_pylist())) == len(rows)


def snapshot_of(rows: list[tuple]) -> tuple:
    with TemporaryDirectory() as name:
        folder = Path(name)
        with closing(sqlite3.connect(folder / "source.db")) as connection:
            connection.execute("create table note (phrase text, at text, block text)")
            connection.executemany("insert into note values (?, ?, ?)", rows)
            connection.commit()
        (folder / "queries").mkdir()
        (folder / "queries/notes.sql").write_text(KEYLESS)
        snapshot = snap(folder / "notes", folder / "source.db", folder / "queries/notes.sql")
        return snapshot, pq.read_table(folder / "notes/rows.parquet")


def test_counts_are_reported(tmp_path: Path, source: Path, query_file: Path) -> None:
    with sqlite3.connect(source) as connection:
        connection.execute(
            "insert into note values (98, 'zoned', '2025-12-05T08:00:00+01:00', 'B0', 'C')"
        )
        connection.execute(
            "insert into note values (99, 'from the future', '2099-01-01T00:00:00', 'B0', 'C')"
        )
    snap(tmp_path / "notes", source, query_file)
    facts = json.loads((tmp_path / "notes/snapshot.json").read_text())
    assert (facts["rows"], facts["rows_after_as_of"], facts["times_without_zone"]) == (11, 1, 11)


def test_rows_of_the_future_alone_are_refused(
    tmp_path: Path, source: Path, query_file: Path
) -> None:
    query_file.write_text(
        "select id, phrase, '2099-01-01' as occurred_at, block, chapter from note"
    )
    with pytest.raises(
        QueryRefused,
        match=r"a row of 2026-01-01 00:00 UTC or before \(queries/notes.sql\), got 10 rows",
    ):
        snap(tmp_path / "notes", source, query_file)


def test_summary_counts_labels_and_becomes_the_next_previous(
    tmp_path: Path, source: Path, query_file: Path
) -> None:
    snap(tmp_path / "notes", source, query_file, feedback({}))
    summary = summarise(tmp_path / "notes")
    assert summary == {
        "as_of": AS_OF.isoformat(),
        "rows": 11,
        "labels": {"block": {"B0": 5, "B1": 5, "B9": 1}, "chapter": {"C": 10}},
    }
    snap(tmp_path / "notes", source, query_file, previous=summary)
    assert json.loads((tmp_path / "notes/previous.json").read_text()) == summary


def test_a_refused_query_names_its_file_and_keeps_the_old_snapshot(
    tmp_path: Path, source: Path, query_file: Path
) -> None:
    snap(tmp_path / "notes", source, query_file)
    before = (tmp_path / "notes/rows.parquet").read_bytes()
    query_file.write_text("select id, phrase, at as occurred_at, block from note")
    with pytest.raises(QueryRefused, match=r"queries/notes\.sql.*without chapter"):
        snap(tmp_path / "notes", source, query_file)
    assert (tmp_path / "notes/rows.parquet").read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "notes").iterdir()) == [
        "previous.json",
        "rows.parquet",
        "snapshot.json",
    ]


def test_rows_after_the_moment_are_not_known_yet(
    tmp_path: Path, source: Path, query_file: Path
) -> None:
    with sqlite3.connect(source) as connection:
        connection.execute(
            "insert into note values (99, 'from the future', '2099-01-01T00:00:00', 'B0', 'C')"
        )
    snapshot = snap(tmp_path / "notes", source, query_file)
    assert snapshot.rows == 10
    assert "99" not in pq.read_table(tmp_path / "notes/rows.parquet").column("id").to_pylist()
