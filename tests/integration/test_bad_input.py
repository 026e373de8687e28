"""Bad rows: what is left out is counted, and what can be learnt from is kept as it is."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from core.errors import DataCheckFailed
from core.files import write_json
from core.params.schema import load_params
from pipelines.checks import require_checked
from pipelines.snapshots import write_snapshot
from pipelines.stages import check, split
from pipelines.stages.files import SPEC
from pipelines.stages.resolve import specs

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
SOUND = [
    (f"Anfrage {n % 150} zu {('Rechnung', 'Lieferung')[n % 2]}", ("Rechnung", "Lieferung")[n % 2])
    for n in range(1500)
]
LEFT_OUT: dict[str, Any] = {
    "null": None,
    "empty": "",
    "blank": " \t\n",
    "invisible": "\u200b\u00a0",
    "nul alone": "\x00",
    "100 kB": "x" * 100_000,
}
LEARNT: dict[str, tuple[Any, str]] = {
    "an integer": (42, "42"),
    "a float": (2.5, "2.5"),
    "emoji": ("👷🏽\u200d♀️ gesucht", "👷🏽♀️ gesucht"),
    "right to left": ("\u200fمطلوب محاسب\u200f", "مطلوب محاسب"),
    "lines": ("erste Zeile\r\nzweite", "erste zeile zweite"),
    "NUL inside": ("vor\x00nach", "vor nach"),
    "not UTF-8": (b"caf\xe9", "caf\ufffd"),
    "a quote": ("'; drop table post; --", "'; drop table post; --"),
    "the longest": ("y" * 2000, "y" * 2000),
}
QUERY = "select phrase, at as occurred_at, label from post"
PARAMS = """
classifiers:
  post:
    source: {query: queries/posts.sql, label: label}
    min_rows_per_label: 5
"""


def write_source(path: Path, strange: list[tuple[Any, Any]]) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("create table post (phrase, at text, label)")
        times = (f"{AS_OF - timedelta(hours=n + 1):%Y-%m-%d %H:%M:%S}" for n in range(10_000))
        connection.executemany(
            "insert into post values (?, ?, ?)",
            [(p, next(times), label) for p, label in [*SOUND, *strange]],
        )
        connection.execute(
            "update post set phrase = cast(phrase as text) where typeof(phrase) = 'blob'"
        )  # bytes that claim to be text


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries/posts.sql").write_text(QUERY)
    (tmp_path / "params.yaml").write_text(PARAMS)
    monkeypatch.chdir(tmp_path)
    for path, content in specs(load_params(tmp_path / "params.yaml")).items():
        write_json(SPEC / path, content)
    yield tmp_path


def snap_and_check(
    folder: Path, strange: list[tuple[Any, Any]]
) -> dict[tuple[str, str], dict[str, Any]]:
    write_source(folder / "posts.db", strange)
    write_snapshot(
        folder / "data/posts",
        dataset="posts",
        query_file=folder / "queries/posts.sql",
        label_columns=["label"],
        parameters={},
        source_url=f"sqlite:///{folder}/posts.db",
        as_of=AS_OF,
        feedback=None,
        previous=None,
    )
    check.run()
    return {
        (one["name"], one["column"]): one
        for one in json.loads(Path("build/check/result.json").read_text())["checks"]
    }


def test_strange_phrases_are_learnt_or_left_out_and_counted(folder: Path) -> None:
    strange = [(phrase, "Rechnung") for phrase in LEFT_OUT.values()] + [
        (phrase, "Lieferung") for phrase, _ in LEARNT.values()
    ]
    checks = snap_and_check(folder, strange)
    require_checked()
    counted = {
        name: checks[name, "phrase"]["rows"]
        for name in ("not_null", "not_blank", "phrase_answerable", "usable", "garbage_characters")
    }
    assert counted == {
        "not_null": 1,
        "not_blank": 4,
        "phrase_answerable": 1,
        "usable": 6,
        "garbage_characters": 3,
    }
    assert checks["time_without_zone", "occurred_at"]["rows"] == len(SOUND) + len(strange)
    split.run("post")
    report = json.loads(Path("build/classifiers/post/split/report.json").read_text())
    assert (report["unusable_rows"], report["rows"]) == (6, len(SOUND) + len(LEARNT))
    recent = pq.read_table("build/classifiers/post/split/recent.parquet")["cleaned"].to_pylist()
    assert {cleaned for _, cleaned in LEARNT.values()} <= set(recent)


def test_strange_labels_are_labels_or_left_out_and_counted(folder: Path) -> None:
    odd = [0, 1.5, "IT / Technik", "ein\nUmbruch", "看護", "🙂", "x" * 300]
    strange = [(f"Wort {n} {label!r:.9}", label) for label in odd for n in range(30)] + [
        ("ohne", None),
        ("leer", "  "),
    ]
    checks = snap_and_check(folder, strange)
    require_checked()
    assert (
        checks["not_null", "label"]["rows"],
        checks["not_blank", "label"]["rows"],
        checks["usable", "label"]["rows"],
    ) == (1, 1, 2)
    split.run("post")
    assert set(
        pq.read_table("build/classifiers/post/split/train.parquet")["label"].to_pylist()
    ) == {
        "Rechnung",
        "Lieferung",
        *map(str, odd),
    }


def test_labels_are_trimmed_and_counted(folder: Path) -> None:
    padded = [(f"Brief {n}", "Rechnung  ") for n in range(30)] + [("Brief", "\u00a0Lieferung")]
    checks = snap_and_check(folder, padded)
    require_checked()
    assert checks["label_trimmed", "label"]["rows"] == 31
    assert checks["label_has_rows", "label"]["passed"]
    rows = pq.read_table("data/posts/rows.parquet", columns=["label"])["label"].to_pylist()
    assert set(rows) == {"Rechnung", "Lieferung"}

    made_before = {"as_of": "", "rows": 1, "labels": {"label": {"Rechnung  ": 1, "Lieferung ": 1}}}
    write_json(folder / "data/posts/previous.json", made_before)
    check.run()
    require_checked()


def test_many_rows_without_a_phrase_stop_the_training_and_say_how_many(folder: Path) -> None:
    snap_and_check(folder, [(None, "Rechnung")] * 20)
    failed = r"usable on posts\.phrase \(observed 0\.01\d+, limit 0\.01, 20 rows\)"
    with pytest.raises(DataCheckFailed, match=rf"{failed}.*`where \.\.\. is not null`"):
        split.run("post")
    assert not Path("build/classifiers").exists()
