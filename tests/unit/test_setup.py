"""A new classifier's query and block: what is found in the rows, and what is written."""

from __future__ import annotations

import json
import shlex
import sqlite3
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from cli.output import Output
from cli.setup import _say_next
from core.errors import ParamsError, PerennialError, QueryRefused, TrainingImpossible
from core.params.edits import add_block, remove_block
from core.params.schema import load_params
from core.settings import load_settings
from operations.setup.languages import find_languages
from operations.setup.likely_power import likely_power
from operations.setup.new import Setup, set_up
from operations.setup.source_columns import Wanted

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PARAMS = """\
seed: 3   # of everything

classifiers:
  one:                    # the first
    source: {query: queries/one.sql, label: one}
    head: {kind: logistic}   # small

  # about the second
  two:
    source:
      query: queries/shared.sql
      label: two

checks: {}   # none
"""
BLOCK = {"source": {"from": "exports/ü.csv", "query": "queries/new.sql", "label": "new"}}
WORDS = {"Rechnung": ["Mahnung", "Betrag", "Konto"], "Versand": ["Paket", "Lieferung", "Zoll"]}


def test_a_block_is_added_after_the_last_and_nothing_else_changes() -> None:
    text = add_block(PARAMS, "new", BLOCK)
    added = [line for line in text.splitlines() if line not in PARAMS.splitlines()]
    assert added == [
        "  new:",
        "    source: {from: exports/ü.csv, query: queries/new.sql, label: new}",
    ]
    assert text.replace("\n".join(added) + "\n", "") == PARAMS
    assert list(yaml.safe_load(text)["classifiers"]) == ["one", "two", "new"]


@pytest.mark.parametrize("name", ["one", "two"])
def test_a_block_is_removed_and_the_comments_of_others_stay(name: str) -> None:
    text = remove_block(PARAMS, name)
    left = yaml.safe_load(PARAMS)
    del left["classifiers"][name]
    assert yaml.safe_load(text) == left
    assert "# of everything" in text
    assert "# none" in text
    assert ("# small" in text) == (name == "two")


def test_what_was_added_can_be_removed() -> None:
    assert remove_block(add_block(PARAMS, "new", BLOCK), "new") == PARAMS


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda: add_block(PARAMS, "one", BLOCK), "a name that no classifier has"),
        (lambda: remove_block(remove_block(PARAMS, "one"), "two"), "another classifier"),
        (
            lambda: add_block(
                "classifiers: {a: {source: {query: queries/a.sql, label: a}}}", "b", {}
            ),
            "in braces",
        ),
    ],
)
def test_an_edit_that_cannot_be_made_is_refused(edit: Callable[[], str], words: str) -> None:
    with pytest.raises(ParamsError, match=words):
        edit()


def test_languages_are_found_and_unknown_ones_are_distinguished() -> None:
    german = ["Wie lange dauert die Lieferung?", "Meine Rechnung ist falsch"] * 30
    swedish = ["Hur lång tid tar leveransen?", "Min faktura är fel och jag vill ha hjälp"] * 30
    assert list(find_languages(german)) == ["German"]
    assert list(find_languages(swedish)) == ["Swedish"]


@pytest.mark.parametrize(
    ("per_day", "words"),
    [
        (1300.0, "after about 3 days at 1,300 answers a day, as many as rows came"),
        (100.0, "with drift: {window_days: 13}"),
        (1.0, "not called within a year"),
        (None, "known once answers come"),
    ],
)
def test_how_soon_drift_is_called_follows_from_the_rows(per_day: float | None, words: str) -> None:
    assert words in likely_power(per_day, window_days=7)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "queries").mkdir(parents=True)
    (folder / "params.yaml").write_text(PARAMS, encoding="utf-8")
    return folder


def tickets(count: int = 900) -> list[tuple[str, str | None, str]]:
    """Two labels, a rare one, rows without label, and one row of tomorrow."""
    drawn = Random(1)
    rows: list[tuple[str, str | None, str]] = []
    for number in range(count):
        label = drawn.choice(list(WORDS))
        moment = NOW - timedelta(hours=2 * number + 1)
        text = f"{drawn.choice(WORDS[label])} {drawn.randrange(10_000)} fehlt"
        rows.append((text, label if number % 50 else None, f"{moment:%d.%m.%Y %H:%M}"))
    rows.append(("Presse", "Selten", "28.02.2026 10:00"))
    rows.append(("Paket", "Versand", "02.03.2026 10:00"))
    return rows


def write_csv(path: Path) -> Path:
    lines = [f"{text};{label or ''};{moment}" for text, label, moment in tickets()]
    path.write_text("\n".join(["Betreff;Queue;Eingang", *lines]), encoding="cp1252")
    return path


def new(repository: Path, source: str, name: str = "queue", **given: Any) -> Setup:
    wished = {"time": "Eingang", "time_format": None, "dated": None, "table": None, **given}
    settings = load_settings(repository=repository, source_url=None)
    return set_up(settings, name, source, Wanted("Betreff", "Queue", **wished), now=NOW)


def test_a_file_becomes_a_query_and_a_block(repository: Path, tmp_path: Path) -> None:
    setup = new(repository, str(write_csv(tmp_path / "Neue Tickets.csv")))
    assert (repository / setup.query).read_text(encoding="utf-8") == (
        "select\n"
        '    "Betreff" as phrase,\n'
        "    strptime(\"Eingang\", '%d.%m.%Y %H:%M') as occurred_at,\n"
        '    "Queue" as queue\n'
        'from "Neue Tickets"\n'
        'where "Queue" is not null\n'
    )
    block = load_params(repository / "params.yaml").classifier("queue")
    assert (block.source.name, block.source.label) == ("queue", "queue")
    assert block.gate.max_weighted_f1_drop == 0.03
    assert setup.variable == "PERENNIAL_SOURCE_QUEUE_URL"
    assert setup.address == str(tmp_path / "Neue Tickets.csv")


def test_the_next_step_can_be_pasted_into_a_shell(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_csv(tmp_path / "the firm's tickets.csv")
    _say_next(Output(), new(repository, str(source)), ())
    step = capsys.readouterr().err.splitlines()[0].removeprefix("next: ")
    assert shlex.split(step) == ["export", f"PERENNIAL_SOURCE_QUEUE_URL={source}"]


def test_the_rows_are_counted_as_a_retraining_would(repository: Path, tmp_path: Path) -> None:
    setup = new(repository, str(write_csv(tmp_path / "tickets.csv")))
    look = setup.look
    assert look.rows == 902
    assert look.left_out == {
        "without a label": 18,
        "dated in the future": 1,
        "of labels with few rows (1)": 1,
    }
    assert sum(look.labels.values()) == 882
    assert set(look.labels) == set(WORDS)
    assert look.rare == {"Selten": 1}
    assert setup.written_times == "%d.%m.%Y %H:%M, taken as UTC"
    assert setup.first_model.weighted_f1 > 0.9 > setup.first_model.majority
    assert list(setup.languages) == ["German"]
    json.dumps(setup.as_json(), default=str)


def test_a_file_of_the_repository_needs_no_variable(repository: Path) -> None:
    (repository / "exports").mkdir()
    setup = new(repository, str(write_csv(repository / "exports" / "tickets.csv")))
    block = load_params(repository / "params.yaml").classifier("queue")
    assert (block.source.path, setup.variable) == ("exports/tickets.csv", "")


@pytest.mark.parametrize("time_format", [None, "%Y%m%d"])
def test_days_that_are_numbers_are_read(
    repository: Path, tmp_path: Path, time_format: str | None
) -> None:
    days = [
        (text, label, f"{NOW - timedelta(days=1 + n):%Y%m%d}")
        for n, (text, label, _) in enumerate(tickets())
    ]
    lines = ["Betreff;Queue;Eingang", *(f"{text};{label or ''};{day}" for text, label, day in days)]
    (tmp_path / "days.csv").write_text("\n".join(lines), encoding="utf-8")
    setup = new(repository, str(tmp_path / "days.csv"), time_format=time_format)
    assert "strptime(cast(\"Eingang\" as varchar), '%Y%m%d')" in (
        repository / setup.query
    ).read_text(encoding="utf-8")
    assert setup.look.last == datetime(2026, 2, 27, tzinfo=UTC)


def test_a_database_and_a_set_source_are_read(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite3.connect(tmp_path / "desk.db") as connection:
        connection.execute("create table other (a text)")
        connection.execute("create table ticket (Betreff text, Queue text, Eingang integer)")
        seconds = [int(NOW.timestamp()) - 7200 * number for number in range(902)]
        rows = [
            (text, label, second)
            for (text, label, _), second in zip(tickets(), seconds, strict=True)
        ]
        connection.executemany("insert into ticket values (?, ?, ?)", rows)
    address = f"sqlite:///{tmp_path}/desk.db"
    with pytest.raises(QueryRefused, match="other, ticket"):
        new(repository, address)
    monkeypatch.setenv("PERENNIAL_SOURCE_DESK_URL", address)
    setup = new(repository, "desk", table="ticket")
    assert setup.variable == ""
    assert setup.block["source"]["from"] == "desk"
    assert "unixepoch" in (repository / setup.query).read_text(encoding="utf-8")


def test_rows_without_a_time_are_dated(repository: Path, tmp_path: Path) -> None:
    source = str(write_csv(tmp_path / "tickets.csv"))
    setup = new(repository, source, time=None, dated=date(2026, 2, 1))
    assert setup.look.first == setup.look.last == datetime(2026, 2, 1, tzinfo=UTC)
    assert "'2026-02-01' as occurred_at" in (repository / setup.query).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "source", "error", "words"),
    [
        ("one", "tickets.csv", ParamsError, "a name that no classifier has"),
        ("shared", "tickets.csv", ParamsError, "which has queries/shared.sql"),
        ("Big", "tickets.csv", ParamsError, "lower-case"),
        ("region", "tickets.csv", ParamsError, "reserved are"),
        ("queue", "gone.csv", PerennialError, "nothing at .*; correct the source"),
        ("queue", "nothing", PerennialError, "set are: none"),
        ("queue", "other.csv", QueryRefused, "a, b .without Betreff, Queue, Eingang"),
        ("queue", "few.csv", TrainingImpossible, "at least two labels"),
    ],
)
def test_a_refusal_writes_nothing(
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    source: str,
    error: type[PerennialError],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "tickets.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "few.csv").write_text("Betreff,Queue,Eingang\na,A,2026-01-01\n")
    (repository / "queries" / "shared.sql").write_text("select 1")
    before = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}
    with pytest.raises(error, match=words):
        new(repository, source, name)
    assert before == {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}
