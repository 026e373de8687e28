"""Suspects in the review queue: one key fixes the row of the source, one confirms its label."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from mlflow import MlflowClient
from sqlalchemy.engine import Connection, Engine
from typer.testing import CliRunner

from cli import app as cli
from core.database import DatabaseUrls, with_driver
from core.files import write_json
from core.label_reports import open_suspects, read_label_report, record_label_report
from core.memory_revisions import MemoryRevision
from core.params.review import ReviewParams
from core.params.schema import load_params
from core.settings import REPOSITORY
from core.tables.loop import feedback
from core.tables.review import review_item
from flows.candidates.label_report import keep_label_report
from flows.context import LoopContext
from flows.run import Run
from monitoring.labels.feedback import feedback_rows
from monitoring.labels.received import labels_since, received_labels
from monitoring.review.acts import Act, answer_item
from monitoring.review.deciding import Answer
from monitoring.review.items import SUSPECTS
from monitoring.review.queue import QueuedItem, next_item
from monitoring.review.refill import refill_queue
from monitoring.review.undo import undo_act
from monitoring.review.worth import queue_report
from pipelines.labels.report import missing_reports
from pipelines.memory.evidence_rows import join_labels
from pipelines.not_measured import NotMeasured
from tests.support.places import own_place
from tests.support.traffic import log

NOW = datetime(2026, 3, 10, tzinfo=UTC)
DAY = timedelta(days=1)
LABELS: dict[str, Any] = {
    "phrases": 900,
    "labels": 3,
    "accuracy": 0.9,
    "merges": [
        {
            "labels": ["label01", "label02"],
            "phrases": 80,
            "confused": 20,
            "saved": 4.5,
            "lost": 1.0,
            "pays": True,
        }
    ],
    "splits": [
        {
            "label": "label03",
            "phrases": 90,
            "share": 0.4,
            "silhouette": 0.2,
            "wrong": [0.1, 0.4],
            "saved": 2.0,
            "p_value": 0.0001,
            "pays": True,
            "examples": [["one"], ["two"]],
        }
    ],
}
ALONE = ReviewParams.model_validate({"shares": {SUSPECTS: 1.0}, "twice": 0.0})


def suspect(phrase: str, *ids: str, spoilt: float = 1.0, **changes: Any) -> dict[str, Any]:
    rows = [
        {"id": id_, "phrase": phrase.upper(), "occurred_at": "2025-05-01T08:00:00+00:00"}
        for id_ in ids
    ]
    return {
        "cleaned": phrase,
        "given": "label01",
        "proposed": "label02",
        "given_share": 0.001,
        "proposed_share": 0.98,
        "teaches": True,
        "spoilt_a_week": spoilt,
        "labels": {"label01": len(ids)},
        "neighbours": [{"cleaned": "near", "label": "label02", "similarity": 0.9}],
        "rows": [{**row, "region": "north"} for row in rows],
        **changes,
    }


def keep(connection: Connection, classifier: str, *suspects: dict[str, Any], at: datetime) -> None:
    record_label_report(
        connection,
        classifier,
        version="1",
        suspects={"judged": 100, "found": len(suspects), "suspects": list(suspects)},
        labels={"merges": [], "splits": []},
        now=at,
    )


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A log of `topic`, and three suspects of its source."""
    rows = pd.DataFrame({
        "occurred_at": [NOW - DAY] * 4, "region": None, "label": "label01", "confidence": 0.9,
        "cleaned": ["asked often", "asked often", "another", "third"],
    })  # fmt: skip
    with engine.begin() as connection:
        log(connection, rows, classifier="topic", version="1")
        found = (
            suspect("rare", "7", spoilt=0.5),
            suspect("frequent", "8", "9", spoilt=3.0),
            suspect("asked often", "10", spoilt=0.1),
        )
        keep(connection, "topic", *found, at=NOW - DAY)
    with engine.begin() as connection:
        yield connection


def refill(connection: Connection, now: datetime = NOW) -> int:
    done = refill_queue(connection, "topic", review=ALONE, now=now, seed=7)
    return done.by_strategy.get(SUSPECTS, 0)


def take(connection: Connection, now: datetime = NOW) -> QueuedItem:
    item = next_item(connection, "topic", person="ada", now=now)
    assert item is not None
    return item


def press(connection: Connection, item: QueuedItem, label: str, *, act: str = "a") -> None:
    given = Act(act, "ada", Answer("label", label), alone=True)
    answer_item(connection, "topic", item.id, given, now=NOW + timedelta(hours=1))


def fixed(connection: Connection, *classifiers: str) -> list[dict[str, Any]]:
    columns = {name: f"column_{name}" for name in classifiers}
    by = NOW + 2 * DAY
    return feedback_rows(connection, label_columns=columns, received_by=by).to_pylist()


def test_suspects_come_by_the_answers_that_they_spoil(connection: Connection) -> None:
    assert refill(connection) == 3
    query = sa.select(review_item.c.cleaned).order_by(review_item.c.score.desc())
    # "asked often" was asked twice in the week, whatever the source's rows say
    assert list(connection.scalars(query)) == ["frequent", "asked often", "rare"]
    assert refill(connection) == 0


def test_one_key_accepts_the_proposal_and_replaces_every_row_of_the_source(
    connection: Connection,
) -> None:
    refill(connection)
    item = take(connection)
    assert (item.phrase, item.label, item.proposed_label) == ("FREQUENT", "label01", "label02")
    assert item.likeliest == (("label02", 0.98), ("label01", 0.001))
    press(connection, item, item.accepted)
    rows = fixed(connection, "topic")
    assert [(row["id"], row["column_topic"]) for row in rows] == [
        ("8", "label02"),
        ("9", "label02"),
    ]
    assert {(row["phrase"], row["region"]) for row in rows} == {("FREQUENT", "north")}
    assert {row["occurred_at"] for row in rows} == {datetime(2025, 5, 1, 8, tzinfo=UTC)}


def test_one_key_confirms_the_label_and_the_row_does_not_come_back(connection: Connection) -> None:
    refill(connection)
    item = take(connection)
    press(connection, item, item.label)
    kinds = set(connection.scalars(sa.select(feedback.c.kind)))
    assert kinds == {"confirmation"}
    assert [row["column_topic"] for row in fixed(connection, "topic")] == ["label01", "label01"]
    assert "frequent" not in {found.cleaned for found in open_suspects(connection, "topic")}

    # Neither within the 90 days of a decided phrase nor later, nor by a retraining that knew less.
    keep(connection, "topic", suspect("frequent", "8", "9"), at=NOW + 100 * DAY)
    assert open_suspects(connection, "topic") == ()


def test_an_undone_decision_takes_the_feedback_of_every_row_back(connection: Connection) -> None:
    refill(connection)
    press(connection, take(connection), "label02")
    undo_act(connection, "topic", person="ada", act="a", now=NOW + timedelta(hours=2))
    assert fixed(connection, "topic") == []
    assert len(open_suspects(connection, "topic")) == 3
    assert take(connection).phrase == "FREQUENT"


def test_one_row_of_the_source_takes_the_labels_of_two_classifiers(connection: Connection) -> None:
    rows = [
        {
            "received_at": NOW, "request_id": f"{name}/7", "classifier": name, "label": label,
            "author": "ada", "kind": "correction", "phrase": "RARE", "cleaned": "rare",
            "occurred_at": NOW - 300 * DAY, "source_row": "7",
        }
        for name, label in (("topic", "label02"), ("other", "x"))
    ]  # fmt: skip
    connection.execute(feedback.insert(), rows)
    [row] = fixed(connection, "topic", "other")
    assert (row["id"], row["column_topic"], row["column_other"]) == ("7", "label02", "x")


@pytest.mark.parametrize("newest", ["topic/7", "7"])
def test_of_two_decisions_about_one_row_the_one_received_last_wins(
    connection: Connection, newest: str
) -> None:
    """A source may use request ids: the row is then named by an answer and by a suspect."""
    rows = [
        {
            "received_at": NOW + (DAY if request_id == newest else timedelta(0)),
            "request_id": request_id, "classifier": "topic",
            "label": "last" if request_id == newest else "first", "author": "ada",
            "kind": "correction", "phrase": "RARE", "cleaned": "rare",
            "occurred_at": NOW - 300 * DAY, "source_row": "7" if "/" in request_id else None,
        }
        for request_id in ("topic/7", "7")
    ]  # fmt: skip
    connection.execute(feedback.insert(), rows)
    [row] = fixed(connection, "topic")
    assert (row["id"], row["column_topic"]) == ("7", "last")


def test_two_classifiers_of_one_label_column_take_the_label_received_last(
    connection: Connection,
) -> None:
    rows = [
        {
            "received_at": NOW, "request_id": f"{name}/7", "classifier": name, "label": label,
            "author": "ada", "kind": "correction", "phrase": "RARE", "cleaned": "rare",
            "occurred_at": NOW - 300 * DAY, "source_row": "7",
        }
        for name, label in (("topic", "first"), ("other", "last"))
    ]  # fmt: skip
    for decision in rows:  # of one moment: the id decides
        connection.execute(feedback.insert(), decision)
    columns = {"topic": "organ", "other": "organ"}
    [row] = feedback_rows(connection, label_columns=columns, received_by=NOW + DAY).to_pylist()
    assert row["organ"] == "last"


def test_a_row_that_no_label_fits_teaches_nothing_until_another_decision(
    connection: Connection,
) -> None:
    refill(connection)
    item = take(connection)
    given = Act("a", "ada", Answer("none_of_these"), alone=True)
    answer_item(connection, "topic", item.id, given, now=NOW + timedelta(hours=1))
    rows = fixed(connection, "topic")
    assert [(row["id"], row["column_topic"]) for row in rows] == [("8", ""), ("9", "")]
    source = pd.DataFrame(
        {
            "id": ["8", "9", "11"], "cleaned": "frequent", "label": "label01",
            "occurred_at": pd.Timestamp(NOW - 300 * DAY),
        }
    )  # fmt: skip
    received = received_labels(connection, classifier="topic", received_by=NOW + DAY)
    evidence = join_labels(source, received)
    assert len(evidence) == 1 and list(evidence["label"]) == ["label01"]

    later = {
        "received_at": NOW + DAY, "request_id": "topic/8", "classifier": "topic", "author": "bob",
        "label": "label02", "kind": "correction", "phrase": "FREQUENT", "cleaned": "frequent",
        "occurred_at": NOW - 300 * DAY, "source_row": "8",
    }  # fmt: skip
    connection.execute(feedback.insert(), [later])
    labels = {row["id"]: row["column_topic"] for row in fixed(connection, "topic")}
    assert labels == {"8": "label02", "9": ""}
    received = received_labels(connection, classifier="topic", received_by=NOW + DAY)
    evidence = join_labels(source, received)
    assert sorted(evidence["label"]) == ["label01", "label02"]


def test_a_decision_that_no_label_fits_renews_the_memory(connection: Connection) -> None:
    refill(connection)
    item = take(connection)
    revision = MemoryRevision(
        classifier="topic", revision=1, made_at=NOW, as_of=NOW, digest="", location="",
        snapshot="", first_feedback=None, last_feedback=None, phrases=0, labels=0, enabled=True,
        why="",
    )  # fmt: skip
    later = NOW + DAY
    assert not labels_since(connection, classifier="topic", revision=revision, now=later)
    given = Act("a", "ada", Answer("none_of_these"), alone=True)
    answer_item(connection, "topic", item.id, given, now=NOW + timedelta(hours=1))
    assert labels_since(connection, classifier="topic", revision=revision, now=later)


def test_a_memory_takes_the_decision_instead_of_the_row(connection: Connection) -> None:
    refill(connection)
    press(connection, take(connection), "label02")
    received = received_labels(connection, classifier="topic", received_by=NOW + DAY)
    source = pd.DataFrame(
        {
            "id": ["8", "9", "11"],
            "cleaned": "frequent",
            "label": ["label01", "label01", "label02"],
            "occurred_at": pd.Timestamp(NOW - 300 * DAY),
        }
    )
    assert set(join_labels(source, received)["label"]) == {"label02"}


def test_what_the_labels_were_worth_counts_wrong_labels(connection: Connection) -> None:
    refill(connection)
    press(connection, take(connection), "label02", act="a")
    second = take(connection)
    press(connection, second, second.label, act="b")
    [worth] = queue_report(connection, "topic", shares={SUSPECTS: 1.0}, now=NOW + DAY, seed=7)
    assert (worth.strategy, worth.labels, worth.errors) == (SUSPECTS, 2, 1)


def test_the_report_of_a_newer_retraining_replaces_the_old_one(connection: Connection) -> None:
    keep(connection, "topic", suspect("new", "99"), at=NOW)
    report = read_label_report(connection, "topic")
    assert report is not None
    assert ([found.cleaned for found in report.suspects], report.made_at) == (["new"], NOW)
    assert read_label_report(connection, "nobody") is None


def test_labels_that_could_not_be_judged_leave_the_report_before_with_the_reason(
    engine: Engine, database: DatabaseUrls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = commands(engine, database, tmp_path)
    monkeypatch.setattr("cli.suspects.command_context", lambda: nullcontext(context))
    built = tmp_path / "built"
    suspects, labels = missing_reports(NotMeasured("ValueError: no folds"))
    write_json(built / "suspects" / "suspects.json", suspects)
    write_json(built / "suspects" / "labels.json", labels)

    def retrain(version: str) -> None:
        run = Run(f"r{version}", NOW, "manual")
        with context.registry.run("block", name=run.id, tags={}) as run_id:
            keep_label_report(
                context, "block", version=version, run_id=run_id, built=built, run=run
            )

    retrain("4")
    with engine.connect() as connection:
        first = read_label_report(connection, "block")
    assert first is not None
    assert (first.version, first.suspects, first.not_judged) == ("4", (), "ValueError: no folds")
    with engine.begin() as connection:
        keep(connection, "block", suspect("rare", "7"), at=NOW)
    retrain("5")
    with engine.connect() as connection:
        kept = read_label_report(connection, "block")
        waiting = open_suspects(connection, "block")
    assert kept is not None
    assert (kept.version, [found.cleaned for found in waiting]) == ("1", ["rare"])
    assert kept.not_judged == "version 5: ValueError: no folds"
    for command in ("suspects", "labels"):
        shown = CliRunner().invoke(cli.app, [command, "block"])
        assert "newest retraining: version 5: ValueError: no folds" in shown.output
    with engine.begin() as connection:
        keep(connection, "block", at=NOW)
        newer = read_label_report(connection, "block")
    assert newer is not None and newer.not_judged == ""


def test_rows_without_a_decision_stay_in_training(connection: Connection) -> None:
    """Nothing is left out silently: a snapshot knows nothing of suspects."""
    refill(connection)
    assert fixed(connection, "topic") == []


def commands(engine: Engine, database: DatabaseUrls, folder: Path) -> LoopContext:
    return LoopContext(own_place(folder), database, engine, load_params(REPOSITORY / "params.yaml"))


def test_a_retraining_keeps_its_report_where_the_commands_find_it(
    engine: Engine, database: DatabaseUrls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = commands(engine, database, tmp_path)
    monkeypatch.setattr("cli.suspects.command_context", lambda: nullcontext(context))
    early = CliRunner().invoke(cli.app, ["suspects", "chapter"])
    assert early.exit_code == 2
    assert CliRunner().invoke(cli.app, ["labels", "unknown"]).exit_code == 2

    built = tmp_path / "built"
    (built / "suspects").mkdir(parents=True)
    found = [suspect("rare", "7", labels={"label02": 30, "label01": 1}), suspect("next", "8")]
    (built / "suspects" / "suspects.json").write_text(
        json.dumps({"judged": 1000, "found": 2, "suspects": found})
    )
    (built / "suspects" / "labels.json").write_text(json.dumps(LABELS))
    run = Run("r1", NOW, "manual")
    with context.registry.run("chapter", name="r1", tags={}) as run_id:
        for _ in range(2):  # a repeated step changes nothing
            keep_label_report(context, "chapter", version="4", run_id=run_id, built=built, run=run)
    uri = with_driver(database.mlflow, "psycopg")
    client = MlflowClient(uri, uri)
    files = [file.path for file in client.list_artifacts(run_id, "suspects")]
    assert files == ["suspects/labels.json", "suspects/suspects.json"]

    printed = CliRunner().invoke(cli.app, ["suspects", "chapter", "--json", "--top", "1"])
    report = json.loads(printed.stdout)
    assert (report["version"], report["found"]) == ("4", 2)
    [first] = report["suspects"]
    assert (first["given"], first["proposed"], first["rows"][0]["id"]) == (
        "label01",
        "label02",
        "7",
    )
    table = CliRunner().invoke(cli.app, ["suspects", "chapter"]).stdout
    assert all(word in table for word in ("rare", "label01", "label02", "98.0%", "label02 30"))

    advice = CliRunner().invoke(cli.app, ["labels", "chapter"]).stdout
    assert all(word in advice for word in ("label01 + label02", "4.50", "label03", "yes"))
    as_json = json.loads(CliRunner().invoke(cli.app, ["labels", "chapter", "--json"]).stdout)
    assert as_json["merges"] == LABELS["merges"]
