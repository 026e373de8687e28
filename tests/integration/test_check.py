"""The stage `check` on snapshots with one defect each: what fails, how badly, with which rows."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import DataCheckFailed, StageFailed
from core.params.checks import CheckParams
from pipelines.checks import require_checked
from pipelines.source.columns import canonical_schema
from pipelines.stages import check

LABELS = {"block": 5, "chapter": 5}
SCHEMA = canonical_schema(sorted(LABELS)).append(pa.field("origin", pa.string()))
AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
Rows = list[dict[str, Any]]


def sound() -> Rows:
    """200 source rows and two feedback rows that know one label only."""

    def row(n: int) -> dict[str, Any]:
        return {
            "id": str(n),
            "phrase": f"phrase {n}",
            "occurred_at": AS_OF - timedelta(hours=n + 1),
            "region": None,
            "block": f"B{n % 4}",
            "chapter": f"C{n % 2}",
            "origin": "source",
        }

    late = [row(n) | {"origin": "feedback", "chapter": None} for n in (200, 201)]
    return [*map(row, range(200)), *late]


def setting(changes: dict[str, Any], *places: int) -> Callable[[Rows], Rows]:
    return lambda rows: [
        row | changes if number in places else row for number, row in enumerate(rows)
    ]


def labelled(label: str, *places: int) -> Callable[[Rows], Rows]:
    return setting({"block": label}, *places)


SCRIPTS = ("看護師", "ممرضة مناوبة", "👩🏽\u200d⚕️ ward", "שלום\u200f", "12", "a\nb")


def in_other_scripts(rows: Rows) -> Rows:
    return [row | {"phrase": f"{SCRIPTS[n % 6]} {n}"} for n, row in enumerate(rows)]


def with_old_sources(rows: Rows) -> Rows:
    old = {"occurred_at": AS_OF - timedelta(days=20)}
    return [row | old if row["origin"] == "source" else row for row in rows]


def with_five_bells(rows: Rows) -> Rows:
    return [row | {"phrase": row["phrase"] + "\x07"} for row in rows[:5]] + rows[5:]


DEFECTS: dict[str, tuple[Callable[[Rows], Rows], set[tuple[str, str | None, str]]]] = {
    "sound": (lambda rows: rows, set()),
    "no_phrase": (setting({"phrase": None}, 3), {("not_null", "phrase", "warning")}),
    "blank_phrase": (
        setting({"phrase": " \t\u200b\x00"}, 3),
        {
            ("not_blank", "phrase", "warning"),
            ("garbage_characters", "phrase", "warning"),
        },
    ),
    "endless_phrase": (
        setting({"phrase": "x " * 50_000}, 3),
        {
            ("phrase_answerable", "phrase", "warning"),
            ("phrase_length", "phrase", "warning"),
        },
    ),
    "many_without_phrase": (
        setting({"phrase": None}, 3, 4, 5),
        {("not_null", "phrase", "warning"), ("usable", "phrase", "critical")},
    ),
    "no_label": (setting({"block": None}, 3), {("not_null", "block", "warning")}),
    "blank_label": (
        setting({"chapter": " "}, *range(6)),
        {
            ("not_blank", "chapter", "warning"),
            ("label_known", "chapter", "warning"),
            ("usable", "chapter", "critical"),
        },
    ),
    "other_scripts": (in_other_scripts, set()),
    "new_label": (labelled("NEW", *range(8)), {("label_known", "block", "warning")}),
    "many_new_labels": (
        labelled("NEW", *range(30)),
        {("label_known", "block", "warning"), ("unknown_label_share", "block", "critical")},
    ),
    "rare_label": (
        labelled("NEW", 1, 2),
        {("label_known", "block", "warning"), ("label_has_rows", "block", "warning")},
    ),
    "two_labels_a_phrase": (
        setting({"phrase": "Same  Thing"}, *range(140)),
        {
            ("one_label_a_phrase", "block", "warning"),
            ("one_label_a_phrase", "chapter", "warning"),
        },
    ),
    "stale": (
        with_old_sources,
        {
            ("fresh", "occurred_at", "warning"),
        },
    ),
    "shrunken": (lambda rows: rows[:100], {("volume", None, "critical")}),
    "long_phrase": (setting({"phrase": "x" * 400}, 3), {("phrase_length", "phrase", "warning")}),
    "garbage": (setting({"phrase": "caf\ufffd"}, 3), {("garbage_characters", "phrase", "warning")}),
    "much_garbage": (
        with_five_bells,
        {
            ("garbage_characters", "phrase", "warning"),
            ("garbage_share", "phrase", "critical"),
        },
    ),
    "equal_ids": (setting({"id": "7"}, 8, 9), {("ids_unique", "id", "critical")}),
    "one_phrase": (
        setting({"phrase": "Again", "block": "B0", "chapter": "C0"}, *range(202)),
        {("duplicates_share", "phrase", "warning")},
    ),
}


def write(folder: Path, rows: Rows, *, without: str | None = None, previous: bool = True) -> None:
    folder.mkdir(parents=True)
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    pq.write_table(table.drop_columns([without]) if without else table, folder / "rows.parquet")
    facts = {
        "dataset": folder.name,
        "as_of": AS_OF.isoformat(),
        "rows": len(rows),
        "logical_hash": "0" * 64,
        "query": "queries/notes.sql",
    }
    known = {
        "block": dict.fromkeys(["B0", "B1", "B2", "B3"], 50),
        "chapter": dict.fromkeys(["C0", "C1"], 100),
    }
    (folder / "snapshot.json").write_text(json.dumps(facts))
    (folder / "previous.json").write_text(
        json.dumps({"as_of": "", "rows": 200, "labels": known} if previous else {})
    )


def ask(folder: Path, datasets: list[str]) -> None:
    spec = folder / "build/spec/checks.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(
        json.dumps(
            CheckParams().model_dump()
            | {"datasets": {name: {"label_columns": LABELS} for name in datasets}}
        )
    )


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every defect as a dataset of its own, all checked in one run of the stage."""
    folder = tmp_path_factory.mktemp("checks")
    for name, (spoil, _) in DEFECTS.items():
        write(folder / "data" / name, spoil(sound()))
    write(folder / "data/lacking", sound(), without="chapter")
    write(folder / "data/first", sound(), previous=False)
    ask(folder, [*DEFECTS, "lacking", "first"])
    before = Path.cwd()
    os.chdir(folder)
    try:
        check.run()
    finally:
        os.chdir(before)
    return folder


@pytest.fixture(scope="module")
def found(workspace: Path) -> dict[str, Any]:
    return json.loads((workspace / "build/check/result.json").read_text())


def failures(
    found: dict[str, Any], dataset: str
) -> dict[tuple[str, str | None, str], dict[str, Any]]:
    failed = [one for one in found["checks"] if one["dataset"] == dataset and not one["passed"]]
    return {(one["name"], one["column"], one["severity"]): one for one in failed}


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_fails_its_check_and_no_other(found: dict[str, Any], defect: str) -> None:
    assert set(failures(found, defect)) == DEFECTS[defect][1]


def test_a_missing_column_is_critical_and_the_others_are_still_checked(
    found: dict[str, Any],
) -> None:
    assert set(failures(found, "lacking")) == {("column_present", "chapter", "critical")}
    assert any(
        one["dataset"] == "lacking" and one["name"] == "one_label_a_phrase"
        for one in found["checks"]
    )


def test_the_first_snapshot_has_nothing_to_be_compared_with(found: dict[str, Any]) -> None:
    names = {one["name"] for one in found["checks"] if one["dataset"] == "first"}
    assert not failures(found, "first") and not names & {
        "volume",
        "label_known",
        "unknown_label_share",
    }


def test_observed_limit_and_offending_rows_are_reported(found: dict[str, Any]) -> None:
    garbage = failures(found, "much_garbage")["garbage_share", "phrase", "critical"]
    assert (garbage["observed"], garbage["limit"], garbage["rows"]) == (round(5 / 202, 6), 0.01, 5)
    assert [row["id"] for row in garbage["examples"]] == ["0", "1", "2", "3", "4"]
    assert garbage["examples"][0]["phrase"] == "phrase 0\x07"
    unknown = failures(found, "many_new_labels")["unknown_label_share", "block", "critical"]
    assert (
        unknown["rows"] == 30
        and len(unknown["examples"]) == 20
        and unknown["examples"][0]["block"] == "NEW"
    )
    volume = failures(found, "shrunken")["volume", None, "critical"]
    assert (volume["observed"], volume["limit"]) == (100, 160)
    stale = failures(found, "stale")["fresh", "occurred_at", "warning"]
    assert stale["observed"] < stale["limit"] == "2025-12-25T00:00:00+00:00"
    assert failures(found, "equal_ids")["ids_unique", "id", "critical"]["rows"] == 3


def test_a_critical_failure_anywhere_stops_what_comes_after(
    workspace: Path, found: dict[str, Any]
) -> None:
    assert found["verdict"] == "fail"
    with pytest.raises(DataCheckFailed, match=r"garbage_share on much_garbage\.phrase"):
        require_checked(workspace / "build/check")


def test_the_page_shows_every_dataset_and_fetches_nothing(workspace: Path) -> None:
    page = (workspace / "build/check/report.html").read_text()
    assert all(f"<h2>{name}</h2>" in page for name in DEFECTS)
    assert "://" not in page and r"phrase 0\x07" in page


def test_a_second_run_writes_the_same_bytes(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def checked(name: str) -> dict[str, bytes]:
        write(tmp_path / name / "data/rare_label", DEFECTS["rare_label"][0](sound()))
        ask(tmp_path / name, ["rare_label"])
        monkeypatch.chdir(tmp_path / name)
        check.run()
        return {path.name: path.read_bytes() for path in Path("build/check").iterdir()}

    first = checked("first")
    second = checked("second")
    assert first == second and json.loads(first["result.json"])["verdict"] == "warn"


def test_without_a_snapshot_the_stage_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(tmp_path, ["diagnoses"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StageFailed, match="make data"):
        check.run()
