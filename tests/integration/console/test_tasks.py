"""Tasks and labels leave as files and come back: page, command and log."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, replace
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.sync_api import BrowserContext, expect
from sqlalchemy.engine import Engine
from starlette.testclient import TestClient

from console.access.people import local_person
from core.tables.console import console_change
from core.tables.loop import feedback
from core.tables.loop import inference as table
from core.tables.review import review_item
from monitoring.labels.feedback import import_lines
from monitoring.labels.feedback_file import read_labels
from monitoring.review.items import add_items
from monitoring.tasks.formats import FORMATS, FormatName, write_tasks
from monitoring.tasks.from_log import labels_given, tasks_to_label
from monitoring.tasks.task import Task
from tests.integration.console.conftest import NOW
from tests.support.browsers import needs_chromium
from tests.support.inferences import inference
from tests.support.reviews import item

HOUR = timedelta(hours=1)
LOW = Task("request-1", "Phrase 1", answer="heart", confidence=0.5)
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def log(engine: Engine) -> None:
    """Three phrases, one of them asked twice; a shadow, a load test and another classifier."""
    rows = [
        inference(1, occurred_at=NOW - 5 * HOUR, region="north"),
        inference(2, occurred_at=NOW - 4 * HOUR, phrase=SCRIPT, cleaned=SCRIPT),
        inference(3, occurred_at=NOW - 3 * HOUR),
        inference(4, occurred_at=NOW - 2 * HOUR, phrase="Phrase 1", cleaned="phrase 1"),
        inference(5, occurred_at=NOW - HOUR, role="shadow"),
        inference(6, occurred_at=NOW - HOUR, routing_key="loadtest-1"),
        inference(7, occurred_at=NOW - HOUR, classifier="other"),
    ]
    with engine.begin() as connection:
        connection.execute(table.insert(), [asdict(row) for row in rows])


def stored(engine: Engine) -> list[tuple[str, str, str, str]]:
    columns = (feedback.c.request_id, feedback.c.label, feedback.c.author, feedback.c.kind)
    with engine.connect() as connection:
        rows = connection.execute(sa.select(*columns).order_by(feedback.c.id))
        return [tuple(row) for row in rows]


def test_the_newest_answer_of_each_phrase_is_a_task(engine: Engine) -> None:
    with engine.begin() as connection:
        found = tasks_to_label(connection, "organ", limit=10)
        assert [task.request_id for task in found] == ["request-4", "request-3", "request-2"]
        assert [task.request_id for task in tasks_to_label(connection, "organ", limit=1)] == [
            "request-4"
        ]
    first = found[0]
    assert (first.answer, first.confidence, first.alternatives, first.version) == (
        "heart",
        0.75,
        (("lung", 0.25),),
        "1",
    )


@pytest.mark.parametrize("format", FORMATS)
def test_a_task_that_leaves_comes_back_as_a_label(
    console: TestClient, engine: Engine, tmp_path: Path, format: FormatName
) -> None:
    """The whole way: page, file, the tool's work, page, table, file of labels."""
    query = {"what": "tasks", "format": format}
    answer = console.get("/c/organ/tasks/file", params=query)
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].endswith(f'organ-tasks{FORMATS[format].suffix}"')
    assert answer.headers["content-type"] == "application/octet-stream"

    page = console.post(
        "/c/organ/tasks",
        data={"format": format},
        files={"file": ("work", labelled(format, answer.text))},
    )
    assert page.status_code == 200, page.text
    assert "<dt>new labels</dt><dd>1</dd>" in page.text
    assert "<dt>not labelled yet</dt><dd>2</dd>" in page.text
    assert stored(engine) == [("request-4", "lung", local_person().name, "unknown")]

    labels = console.get("/c/organ/tasks/file", params={"what": "labels", "format": format})
    (tmp_path / "labels").write_bytes(labels.content)
    with engine.begin() as connection:
        again = import_lines(connection, read_labels(tmp_path / "labels", format))
        remaining = tasks_to_label(connection, "organ", limit=10)
    assert (again.accepted, again.repeated, again.refused) == (0, 1, 0)
    assert [task.request_id for task in remaining] == ["request-3", "request-2", "request-1"]


def labelled(format: FormatName, text: str) -> str:
    """What each tool makes of the first task, when somebody chooses `lung`."""
    if format == "csv":
        rows = list(csv.DictReader(StringIO(text, newline="")))
        rows[0]["label"] = "lung"
        out = StringIO()
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(rows)
        return out.getvalue()
    if format == "label-studio":
        tasks = json.loads(text)
        choice = tasks[0]["predictions"][0]["result"][0]
        tasks[0]["annotations"] = [{"result": [{**choice, "value": {"choices": ["lung"]}}]}]
        return json.dumps(tasks)
    lines = [json.loads(line) for line in text.splitlines()]
    lines[0] |= {
        "jsonl": {"label": "lung"},
        "doccano": {"label": ["lung"]},
        "prodigy": {"accept": ["lung"], "answer": "accept"},
    }[format]
    return "\n".join(map(json.dumps, lines))


def test_labels_leave_with_author_kind_and_probability(engine: Engine) -> None:
    values = {"classifier": "organ", "received_at": NOW, "author": "ada"}
    rows = [
        {
            **values,
            "request_id": "request-1",
            "label": "lung",
            "kind": "sample",
            "probability": 0.1,
        },
        {**values, "request_id": "request-3", "label": "", "kind": "none_of_these"},
        {**values, "request_id": "gone", "label": "lung", "kind": "unknown"},
    ]
    example = {"request_id": "e-1", "label": "lung", "kind": "example", "phrase": "x"}
    with engine.begin() as connection:
        for row in (*rows, {**values, **example, "cleaned": "x", "occurred_at": NOW}):
            connection.execute(feedback.insert(), row)
        [task] = labels_given(connection, "organ", limit=10)
    assert (task.request_id, task.label, task.author, task.received_at) == (
        "request-1",
        "lung",
        "ada",
        NOW,
    )
    assert (task.kind, task.probability, task.answer, task.region) == (
        "sample",
        0.1,
        "heart",
        "north",
    )


def test_an_import_is_recorded_with_its_counts(console: TestClient, engine: Engine) -> None:
    text = "request_id,label,author\nrequest-1,lung,ada\nunknown,lung,ada\nrequest-3,,ada\n"
    page = console.post("/c/organ/tasks", files={"file": ("x.csv", text)})
    assert "line 3: expected the request id of a logged answer, got unknown" in page.text
    with engine.connect() as connection:
        change = connection.execute(sa.select(console_change)).one()
    assert (change.person, change.what, change.subject) == (
        local_person().name,
        "import labels",
        "organ",
    )
    assert change.after == {
        "accepted": 1,
        "repeated": 0,
        "refused": 1,
        "unlabelled": 1,
        "queued": 0,
    }


def test_samples_of_a_file_are_those_that_the_queue_drew(
    console: TestClient, engine: Engine
) -> None:
    with engine.begin() as connection:
        for number in (1, 2):
            drawn = item(number, strategy="random", probability=0.02)
            add_items(connection, [drawn], now=NOW, double_share=0)
    text = (
        "request_id,label,author,kind,probability\n"
        "request-1,lung,ada,sample,0.02\n"
        "request-2,lung,ada,sample,0.000001\n"
        "request-3,lung,ada,sample,0.02\n"
    )
    page = console.post("/c/organ/tasks", files={"file": ("x.csv", text)}).text
    assert "line 3: expected the probability of the draw, 0.02, got 1e-06" in page
    assert "line 4: expected a sample that the review queue drew" in page
    with engine.connect() as connection:
        rows = connection.execute(sa.select(feedback.c.request_id, feedback.c.probability)).all()
    assert [tuple(row) for row in rows] == [("request-1", 0.02)]


@pytest.mark.parametrize("format", FORMATS)
def test_tasks_of_a_file_come_first_in_the_queue(
    console: TestClient, engine: Engine, format: FormatName
) -> None:
    """Chosen elsewhere, such as in a notebook: answers of this classifier, each phrase once."""
    others = replace(LOW, request_id="request-3", phrase="x")
    strangers = [replace(LOW, request_id=name) for name in ("unknown", "request-7", "request-5")]
    text = "".join(write_tasks([LOW, others, *strangers, LOW], format))
    with engine.begin() as connection:
        queued = item(0, phrase="old", cleaned="old", request_id="r-0", score=7.0)
        add_items(connection, [queued], now=NOW)
    for new in (2, 0):
        sent = {"format": format, "queue": "true"}
        page = console.post("/c/organ/tasks", data=sent, files={"file": ("work", text)})
        assert page.status_code == 200, page.text
        assert ("new in the review queue</dt><dd>2<" in page.text) is (new == 2)
    with engine.connect() as connection:
        query = sa.select(review_item).order_by(review_item.c.score.desc(), review_item.c.id)
        rows = connection.execute(query).all()
    assert [(row.request_id, row.phrase, row.label) for row in rows] == [
        ("request-1", "Phrase 1", "heart"),
        ("request-3", "Phrase 3", "heart"),
        ("r-0", "old", "heart"),
    ]
    assert stored(engine) == []


def test_tasks_stay_out_of_the_queue_unless_they_are_sent_there(
    console: TestClient, engine: Engine
) -> None:
    text = "".join(write_tasks([LOW], "csv"))
    assert console.post("/c/organ/tasks", files={"file": ("work", text)}).status_code == 200
    with engine.connect() as connection:
        assert connection.execute(sa.select(review_item)).all() == []


def test_what_a_file_says_is_shown_as_text(console: TestClient) -> None:
    line = json.dumps({"request_id": SCRIPT, "label": "lung"})
    page = console.post("/c/organ/tasks", data={"format": "jsonl"}, files={"file": (SCRIPT, line)})
    assert page.status_code == 200 and "<script>alert" not in page.text
    assert "&lt;script&gt;" in page.text


@pytest.mark.parametrize(
    ("format", "content", "status"),
    [
        ("label-studio", b"{}", 422),
        ("label-studio", b"\xff\xfe\x00", 422),
        ("csv", b"", 422),
        ("csv", b"a,b\n1,2\n", 422),
        ("csv", bytes(range(256)), 422),
        ("csv", "request_id,label\n".encode("utf-16"), 422),
        ("csv", b"request_id,label,author\n\xff,\xff,\xff\n", 200),
        ("jsonl", bytes(range(256)), 200),
        ("doccano", b"[" * 100_000, 200),
        ("prodigy", b'{"answer": "accept"}', 200),
        ("xml", b"", 400),
        ("", b"", 422),
    ],
)
def test_a_file_without_sense_is_explained(
    console: TestClient, engine: Engine, format: str, content: bytes, status: int
) -> None:
    answer = console.post(
        "/c/organ/tasks", data={"format": format}, files={"file": ("file", content)}
    )
    assert answer.status_code == status, answer.text
    assert "Traceback" not in answer.text and stored(engine) == []


def test_a_form_without_a_file_is_explained(console: TestClient) -> None:
    for sent in ({"files": {"file": ("", b"")}}, {"data": {"file": "text"}}, {"content": b"\xff"}):
        assert console.post("/c/organ/tasks", **sent).status_code == 400  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1000000", "limit=x", "format=xml", "what=users", "limit=%00", "format=%ff"],
)
def test_a_download_without_sense_is_explained(console: TestClient, query: str) -> None:
    assert console.get(f"/c/organ/tasks/file?{query}").status_code == 400


@pytest.mark.parametrize(
    "path", ["/c/nobody/tasks", "/c/nobody/tasks/file", "/c/nobody/tasks/label-studio.xml"]
)
def test_an_unknown_classifier_has_no_tasks(console: TestClient, path: str) -> None:
    assert console.get(path).status_code == 404


def test_label_studio_gets_an_interface(console: TestClient) -> None:
    answer = console.get("/c/organ/tasks/label-studio.xml")
    assert answer.status_code == 200 and 'toName="text"' in answer.text


class TestInChromium:
    pytestmark = needs_chromium

    def test_a_file_is_taken_and_brought_back(
        self, console_url: str, browser: BrowserContext, engine: Engine, tmp_path: Path
    ) -> None:
        page = browser.new_page()
        refused: list[str] = []
        page.on("console", lambda message: refused.append(message.text))
        page.goto(f"{console_url}/c/organ/tasks")
        page.get_by_label("Format").first.select_option("Label Studio")
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        content = download.value.path().read_text(encoding="utf-8")
        file = tmp_path / "work.json"
        file.write_text(labelled("label-studio", content), encoding="utf-8")
        page.get_by_label("File").set_input_files(file)
        page.get_by_label("Format").last.select_option("Label Studio")
        page.get_by_role("button", name="Upload").click()
        expect(page.get_by_role("status")).to_contain_text("new labels")
        assert [row[:2] for row in stored(engine)] == [("request-4", "lung")]
        assert [text for text in refused if "Content Security Policy" in text] == []


def test_the_text_of_a_format_is_utf_8(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            table.insert(), asdict(inference(8, phrase="Äther 🫀", cleaned="x", occurred_at=NOW))
        )
        [task] = tasks_to_label(connection, "organ", limit=1)
    assert "Äther 🫀" in "".join(write_tasks([task], "jsonl"))
