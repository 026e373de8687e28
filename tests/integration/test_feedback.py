import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from core.errors import InvalidFeedback, UnknownRequest
from core.feedback import record_feedback
from core.tables.loop import feedback
from monitoring.labels.feedback import (
    CORRECTED,
    answered,
    feedback_rows,
    import_feedback,
    import_lines,
)
from monitoring.labels.feedback_file import read_feedback_file
from monitoring.performance.periods import Period
from operations.known_labels import known_labels
from tests.support.performances import performance_by_version
from tests.support.traffic import LABELS, log, promote, store_model, traffic

NOW = datetime(2026, 2, 1, tzinfo=UTC)
LABEL_SETS = {"topic": set(LABELS)}


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """Ten answers of version 1 of `topic`, r-000000 to r-000009; version 2 shadows them."""
    rows = traffic(days=1, a_day=30, seed=1).head(10)
    with engine.connect() as connection:
        log(connection, rows, classifier="topic", version="1")
        log(
            connection, rows.assign(label="label05"), classifier="topic", version="2", role="shadow"
        )
        log(connection, rows.head(2), classifier="other", version="1", prefix="o")
        connection.commit()
        yield connection


def record(
    connection: Connection,
    request_id: str = "r-000001",
    label: str = "label03",
    *,
    at: datetime = NOW,
    **options: Any,
) -> bool:
    values = {"author": "ada", "labels": LABEL_SETS, **options}
    return record_feedback(connection, request_id=request_id, label=label, received_at=at, **values)


def stored(connection: Connection) -> list[tuple[str, str]]:
    return [
        tuple(row)
        for row in connection.execute(
            sa.select(feedback.c.request_id, feedback.c.label).order_by(feedback.c.id)
        )
    ]


def rows_of(connection: Connection, *, by: datetime = NOW) -> list[dict[str, object]]:
    return feedback_rows(connection, label_columns={"topic": "block"}, received_by=by).to_pylist()


def write(folder: Path, text: str, name: str = "late.csv") -> Path:
    file = folder / name
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    return file


def test_identical_feedback_is_kept_once(connection: Connection) -> None:
    assert [record(connection), record(connection)] == [True, False]
    assert stored(connection) == [("r-000001", "label03")]
    assert record(connection, at=NOW + timedelta(hours=1))


@pytest.mark.parametrize(
    ("how", "error"),
    [({"request_id": "r-unknown"}, UnknownRequest),
     ({"label": "no such label"}, InvalidFeedback),
     ({"label": " "}, InvalidFeedback),
     ({"author": ""}, InvalidFeedback)],
)  # fmt: skip
def test_bad_feedback_is_refused(
    connection: Connection, how: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        record(connection, **how)  # type: ignore[arg-type]
    assert stored(connection) == []


def test_a_label_set_that_is_not_known_is_not_checked(connection: Connection) -> None:
    assert record(connection, "o-000000", "anything")
    assert record(connection, label="brand new", labels=None)


def test_a_shadows_row_is_no_answer(connection: Connection) -> None:
    log(
        connection,
        traffic(days=1, seed=2).head(1),
        classifier="topic",
        version="2",
        role="shadow",
        prefix="shadow-only",
    )
    with pytest.raises(UnknownRequest):
        record(connection, "shadow-only-000000")


def test_feedback_becomes_training_rows_by_the_newest_label(connection: Connection) -> None:
    record(connection, label="label03", at=NOW - timedelta(hours=2))
    record(connection, label="label04", at=NOW - timedelta(hours=1))
    record(connection, label="label05", at=NOW + timedelta(hours=1))
    record(connection, "o-000000", "label01", at=NOW)
    [row] = rows_of(connection)
    answer = traffic(days=1, a_day=30, seed=1).iloc[1]
    assert row == {
        "id": "r-000001",
        "phrase": answer["cleaned"].upper(),
        "occurred_at": answer["occurred_at"].to_pydatetime(),
        "region": answer["region"], "block": "label04", "origin": "feedback",
    }  # fmt: skip


def test_training_rows_are_found_without_reading_the_whole_log(connection: Connection) -> None:
    record(connection, "r-000001")
    answer = answered(CORRECTED)
    assert list(connection.scalars(sa.select(answer.c.request_id))) == ["r-000001"]


def test_other_label_columns_are_null(connection: Connection) -> None:
    record(connection, "o-000001", "label01")
    record(connection, "r-000000", "label02")
    table = feedback_rows(
        connection, label_columns={"topic": "block", "other": "chapter"}, received_by=NOW
    )
    assert table.select(["id", "block", "chapter"]).to_pylist() == [
        {"id": "o-000001", "block": None, "chapter": "label01"},
        {"id": "r-000000", "block": "label02", "chapter": None},
    ][:: 1 if table["id"][0].as_py() == "o-000001" else -1]  # fmt: skip
    assert table["occurred_at"].to_pylist() == sorted(table["occurred_at"].to_pylist())


def test_no_feedback_gives_an_empty_table_of_the_same_columns(connection: Connection) -> None:
    table = feedback_rows(connection, label_columns={"topic": "block"}, received_by=NOW)
    assert (len(table), table.column_names) == (
        0,
        ["id", "phrase", "occurred_at", "region", "block", "origin"],
    )


CSV = """request_id,label,author,received_at
r-000000,label01,ada,2026-01-31T08:00:00Z
r-unknown,label01,ada,2026-01-31T08:00:00Z
r-000002,no such label,ada,2026-01-31T08:00:00Z
r-000003,label02,,2026-01-31T08:00:00Z
r-000004,label02,ada,yesterday
r-000005,lab\udcffel02,ada,
"r-000006",label02,ada,2026-01-31T10:00:00+02:00
"""


def test_a_file_keeps_the_good_rows_and_names_the_bad(
    connection: Connection, tmp_path: Path
) -> None:
    lines = read_feedback_file(write(tmp_path, CSV))
    counts = import_lines(connection, lines, received_at=NOW, labels=LABEL_SETS)
    assert (counts.accepted, counts.repeated, counts.refused) == (2, 0, 5)
    assert [refusal.row for refusal in counts.refusals] == [3, 4, 5, 6, 7]
    reasons = " | ".join(refusal.reason for refusal in counts.refusals)
    assert all(
        word in reasons for word in ("r-unknown", "no such label", "author", "ISO 8601", "UTF-8")
    )
    assert stored(connection) == [("r-000000", "label01"), ("r-000006", "label02")]
    moments = list(connection.scalars(sa.select(feedback.c.received_at).order_by(feedback.c.id)))
    assert moments == [datetime(2026, 1, 31, 8, tzinfo=UTC)] * 2


@pytest.mark.parametrize("moment", ["2026-01-31T08:00:00Z", ""])
def test_a_file_imported_twice_counts_once(
    connection: Connection, tmp_path: Path, moment: str
) -> None:
    lines = [
        json.dumps(
            {
                "request_id": f"r-00000{n}",
                "label": "label01",
                "author": "ada",
                "received_at": moment,
            }
        )
        for n in (1, 2, 2)
    ]
    file = write(tmp_path, "\n".join([*lines, "", "{broken", "[1]"]), "late.jsonl")
    first = import_feedback(connection, file, received_at=NOW)
    again = import_feedback(connection, file, received_at=NOW + timedelta(days=1))
    assert (first.accepted, first.repeated, first.refused) == (2, 1, 2)
    assert (again.accepted, again.repeated, again.refused) == (0, 3, 2)
    assert [refusal.row for refusal in first.refusals] == [5, 6]


@pytest.mark.parametrize(
    ("text", "wanted"), [("request_id,label\nr-000000,label01\n", "author"), ("", "request_id")]
)
def test_a_file_without_the_columns_is_refused_whole(
    connection: Connection, tmp_path: Path, text: str, wanted: str
) -> None:
    with pytest.raises(InvalidFeedback, match=wanted):
        import_feedback(connection, write(tmp_path, text))


def test_a_label_dated_in_the_far_future_is_refused(connection: Connection, tmp_path: Path) -> None:
    text = """request_id,label,author,received_at
r-000000,label01,ada,2099-01-01T00:00:00Z
r-000001,label01,ada,2026-02-01T14:00:00Z
"""
    counts = import_feedback(connection, write(tmp_path, text), received_at=NOW)
    assert (counts.accepted, counts.refused) == (1, 1)
    [refusal] = counts.refusals
    assert (refusal.row, "got 2099-01-01 00:00 UTC" in refusal.reason) == (2, True)


def test_blanks_around_a_new_label_make_no_twin(connection: Connection, tmp_path: Path) -> None:
    text = "request_id,label,author\nr-000000,brand new ,ada\nr-000001, brand new,ada\n"
    assert import_feedback(connection, write(tmp_path, text)).accepted == 2
    assert record(connection, "r-000002", "brand new\t", labels=None)
    assert {label for _, label in stored(connection)} == {"brand new"}


def test_a_missing_file_is_named(connection: Connection, tmp_path: Path) -> None:
    with pytest.raises(InvalidFeedback, match=r"none\.csv"):
        import_feedback(connection, tmp_path / "none.csv")


def test_performance_joins_answers_with_the_newest_feedback(
    connection: Connection, engine: Engine
) -> None:
    labels = traffic(days=1, a_day=30, seed=1).head(4)["label"].tolist()
    for number, label in enumerate(labels):
        record(connection, f"r-00000{number}", "label09" if number == 0 else label)
    record(connection, "r-000000", labels[0], at=NOW + timedelta(hours=1))
    record(connection, "r-000003", "label19", at=NOW + timedelta(hours=1))
    connection.commit()

    by_version = performance_by_version(engine, "topic")
    champion = by_version["1"]
    assert (champion.answers, champion.labelled, champion.right) == (10, 4, 3)
    assert champion.basis == "unselected"
    assert champion.accuracy is not None and champion.accuracy.value == 0.75
    assert champion.accuracy.low < 0.5 and champion.accuracy.high > 0.85
    assert champion.estimated_accuracy == pytest.approx(
        traffic(days=1, a_day=30, seed=1).head(10)["confidence"].mean()
    )
    assert champion.weighted_f1 is not None
    shadow = by_version["2 (shadow)"]
    assert (shadow.labelled, shadow.right) == (
        4,
        sum(label == "label05" for label in [*labels[:3], "label19"]),
    )
    assert performance_by_version(engine, "topic", Period(since=NOW.date())) == {}


def test_a_damaged_head_of_one_classifier_refuses_no_feedback(
    connection: Connection, tmp_path: Path
) -> None:
    reports: list[str] = []
    for name in ("topic", "other"):
        model = store_model(tmp_path, classifier=name, version="1", reference=None)
        promote(connection, model)
    (tmp_path / "other" / "1" / "head.npz").write_bytes(b"rubbish")
    known = known_labels(connection, report=reports.append)
    assert {name: set(labels) for name, labels in known.items()} == {"topic": set(LABELS)}
    assert [report.partition(":")[0] for report in reports] == ["labels of other are not checked"]
