"""Sources that are files: every row comes as it was written, or the line that cannot is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from core.errors import PerennialError, QueryRefused, SettingsError, SourceUnreachable
from pipelines.source.extract import Extraction, extract, read_batches

QUERY = "select text as phrase, moment as occurred_at, label from {table}"
ROWS = [
    ('Häuser; kaufen, "heute"', "2026-01-01 08:00:00", "007"),
    ("二行\nzeilen", "2026-01-02T09:30:00+02:00", "Büro / Küche"),
    ("# no comment", "2026-01-03", "true"),
]


def rows_of(source: Path, query: str, **parameters: Any) -> list[dict[str, Any]]:
    target = source.parent / "rows.arrow"
    extract(query, url=str(source), target=target, parameters=parameters, label_columns=["label"])
    rows: list[dict[str, Any]] = pa.Table.from_batches(read_batches(target)).to_pylist()
    return rows


def write_csv(path: Path, *, delimiter: str = ",", encoding: str = "utf-8") -> Path:
    quoted = [
        delimiter.join('"' + value.replace('"', '""') + '"' for value in row)
        for row in [("text", "moment", "label"), *ROWS]
    ]
    path.write_bytes(("\n".join(quoted) + "\n").encode(encoding))
    return path


@pytest.mark.parametrize(
    ("name", "delimiter", "encoding"),
    [
        ("tickets.csv", ",", "utf-8"),
        ("tickets.csv", ";", "utf-8-sig"),
        ("tickets.tsv", "\t", "utf-8"),
        ("tickets.CSV", "|", "utf-16"),
    ],
)
def test_a_table_of_text_comes_as_it_was_written(
    tmp_path: Path, name: str, delimiter: str, encoding: str
) -> None:
    source = write_csv(tmp_path / name, delimiter=delimiter, encoding=encoding)
    rows = rows_of(source, QUERY.format(table="tickets"))
    assert [(row["phrase"], row["label"]) for row in rows] == [
        (text, label) for text, _, label in ROWS
    ]
    assert [row["occurred_at"].isoformat() for row in rows] == [
        "2026-01-01T08:00:00+00:00",
        "2026-01-02T07:30:00+00:00",
        "2026-01-03T00:00:00+00:00",
    ]


@pytest.mark.parametrize(
    "label", ["0x80070005", "0b101", " 5", "5 ", "007", "-0", "+5", "1e3", "2.0", "-12", "5"]
)
def test_codes_of_a_csv_stay_as_they_are_written(tmp_path: Path, label: str) -> None:
    source = tmp_path / "tickets.csv"
    source.write_text(f"text,moment,label,n\na,2026-01-01,{label},3\nb,2026-01-02,7,\n")
    query = "select '[' || label || ']' as phrase, moment as occurred_at, label from tickets"
    [row] = rows_of(source, query + " where n = 3")
    assert row["phrase"] == f"[{label}]"


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_a_file_of_an_old_encoding_is_read_right(tmp_path: Path, encoding: str) -> None:
    source = tmp_path / "old.csv"
    source.write_bytes("text;label\nBäckerei Süß;Küche\n".encode(encoding))
    query = "select text as phrase, '2026-01-01' as occurred_at, label from old"
    assert [(row["phrase"], row["label"]) for row in rows_of(source, query)] == [
        ("Bäckerei Süß", "Küche")
    ]


def test_parquet_and_json_lines_keep_their_types(tmp_path: Path) -> None:
    made = (
        "select 'a phrase' as text, timestamptz '2026-01-01 08:00:00+02' as moment, "
        "true as label, 3 as priority"
    )
    duckdb.sql(f"copy ({made}) to '{tmp_path / 'parquet_rows.parquet'}'")
    line = {"text": "a phrase", "moment": "2026-01-01T08:00:00+02:00", "label": 1, "priority": 3}
    lines = [line, {**line, "label": "A"}]
    (tmp_path / "json_rows.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    where = " where priority > :least"
    from_parquet = rows_of(
        tmp_path / "parquet_rows.parquet", QUERY.format(table="parquet_rows") + where, least=2
    )
    from_json = rows_of(
        tmp_path / "json_rows.jsonl", QUERY.format(table="json_rows") + where, least=2
    )
    assert [row["label"] for row in from_parquet] == ["true"]
    assert sorted(row["label"] for row in from_json) == ["1", "A"]
    assert {row["occurred_at"].isoformat() for row in from_parquet + from_json} == {
        "2026-01-01T06:00:00+00:00"
    }


@pytest.mark.parametrize(
    "label",
    ["12-05-21", "03-04-2026", "12:30", "2026-01-31", "550E8400-E29B-41D4-A716-446655440000"],
)
@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_strings_of_json_stay_as_they_are_written(tmp_path: Path, label: str, ending: str) -> None:
    row = {"text": 'a "phrase"', "moment": "2026-01-01T08:00:00+02:00", "label": label, "n": 7}
    row["inner"] = {"DATE": label, "list": [label]}
    content = json.dumps([row]) if ending == "json" else json.dumps(row)
    (tmp_path / f"rows.{ending}").write_text(content, encoding="utf-8")
    for column in ("label", '"inner"."DATE"', '"inner".list[1]'):
        query = f"select text as phrase, moment as occurred_at, {column} as label from rows"
        [read] = rows_of(tmp_path / f"rows.{ending}", query + " where n + 1 = 8")
        assert (read["phrase"], read["label"]) == ('a "phrase"', label)
        assert read["occurred_at"].isoformat() == "2026-01-01T06:00:00+00:00"


def test_json_keys_that_differ_by_case_and_rows_without_keys_are_read(tmp_path: Path) -> None:
    lines = [{"A": "2026-01-01", "b": None}, {"a": "12:30", "b": True}]
    (tmp_path / "keys.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    (tmp_path / "texts.json").write_text('["one", "two"]', encoding="utf-8")
    query = "select coalesce({}) as phrase, '2026-01-01' as occurred_at, {} as label from {}"
    from_keys = rows_of(tmp_path / "keys.jsonl", query.format("a, a_1", "b", "keys"))
    from_texts = rows_of(tmp_path / "texts.json", query.format("json", "json", "texts"))
    assert sorted(row["phrase"] for row in from_keys) == ["12:30", "2026-01-01"]
    assert sorted(row["phrase"] for row in from_texts) == ["one", "two"]


def test_a_folder_has_a_table_per_file_and_one_of_all(tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    (folder / "2026-01.csv").write_text("text,moment,label\na,2026-01-01,A\n", encoding="utf-8")
    (folder / "2026-02.csv").write_text("label,text,moment\nB,b,2026-02-01\n", encoding="utf-8")
    (folder / "notes.docx").write_bytes(b"not a source")
    for table, phrases in [('"2026-02"', ["b"]), ("exports", ["a", "b"])]:
        rows = rows_of(folder, QUERY.format(table=table))
        assert [row["phrase"] for row in rows] == phrases


def test_equal_files_give_equal_rows_in_any_order(tmp_path: Path) -> None:
    lines = [f"phrase {number},2026-01-01,{number % 3}" for number in range(50)]
    taken = []
    for name, written in [("one", lines), ("two", lines[::-1])]:
        source = tmp_path / f"{name}.csv"
        source.write_text("\n".join(["text,moment,label", *written]), encoding="utf-8")
        taken.append(rows_of(source, QUERY.format(table=name)))
    assert taken[0] == taken[1]
    assert len(taken[0]) == 50


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('text,moment,label\n"a,2026-01-01,A\nb,2026-01-02,B\n', "Line: 2"),
        ("text,moment,label\na,2026-01-01,A\nb,2026-01-02\n", "Line: 3"),
        ("text,moment,label\na,2026-01-01,A\nb,c,2026-01-02,B\n", "Line: 3"),
        ('text,moment,label\na,2026-01-01,A\n"b" or c,2026-01-02,B\n', "Line: 3"),
    ],
    ids=["unclosed quote", "too few values", "too many values", "text after a quote"],
)
def test_a_broken_line_is_named_and_no_row_is_swallowed(
    tmp_path: Path, content: str, line: str
) -> None:
    (tmp_path / "broken.csv").write_text(content, encoding="utf-8")
    with pytest.raises(QueryRefused, match=line) as caught:
        rows_of(tmp_path / "broken.csv", QUERY.format(table="broken"))
    assert "broken.csv" in caught.value.wanted
    assert "strict_mode" not in caught.value.came


@pytest.mark.parametrize(
    ("name", "content", "error", "words"),
    [
        ("none.csv", None, SourceUnreachable, "nothing at"),
        ("empty.csv", "", QueryRefused, "a first line with the names"),
        ("only_header.csv", "text,moment,label\n", QueryRefused, "at least one row"),
        ("other.csv", "a,b\n1,2\n", QueryRefused, '"text" not found'),
        ("sheet.xlsx", "PK", SettingsError, "as CSV"),
    ],
)
def test_a_file_that_is_no_source_is_named(
    tmp_path: Path, name: str, content: str | None, error: type[PerennialError], words: str
) -> None:
    source = tmp_path / name
    if content is not None:
        source.write_text(content, encoding="utf-8")
    with pytest.raises(error, match=words):
        rows_of(source, QUERY.format(table=source.stem))
    assert not (tmp_path / "rows.arrow").exists()


@pytest.mark.parametrize("names", [("a.csv", "a.tsv"), ("A.csv", "a.json")])
def test_files_of_one_name_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    for name in (*names, "ß.csv", "ss.csv"):
        (folder / name).write_text("text\n1\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=f"got {', '.join(names)} in"):
        rows_of(folder, "select 1")


def test_a_file_of_the_folders_name_in_another_case_is_the_table(tmp_path: Path) -> None:
    folder = tmp_path / "Tickets"
    folder.mkdir()
    for name in ("tickets", "more", "Ä", "ä"):
        content = f"text,moment,label\n{name},2026-01-01,A\n"
        (folder / f"{name}.csv").write_text(content, encoding="utf-8")
    for table in ("tickets", "Tickets", "Ä"):
        [row] = rows_of(folder, QUERY.format(table=table))
        assert row["phrase"].casefold() == table.casefold()


def test_whole_numbers_can_be_compared_and_times_without_zone_are_counted(tmp_path: Path) -> None:
    source = tmp_path / "tickets.csv"
    source.write_text("text,moment,label,n\na,2026-01-01,A,1\nb,2026-01-02,B,20\n")
    counts = extract(
        QUERY.format(table="tickets") + " where n > 3",
        url=str(source),
        target=tmp_path / "rows",
        label_columns=["label"],
    )
    assert counts == Extraction(rows=1, zoneless=1)
