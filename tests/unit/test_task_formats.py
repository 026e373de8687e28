"""Tasks and labels in the formats of other tools: what is written is read again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InvalidFeedback
from core.feedback import KINDS, LEAST_PROBABILITY, FeedbackRow
from monitoring.labels.feedback_file import Unlabelled, read_labels
from monitoring.tasks.formats import FORMATS, FormatName, read_records, write_tasks
from monitoring.tasks.label_studio import labelling_interface
from monitoring.tasks.records import Record, Refusal
from monitoring.tasks.task import COLUMNS, Task, record_of

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufffd"), max_size=20).map(
    lambda text: f"p{text}"
)
names = st.text(
    st.characters(
        codec="utf-8", exclude_characters="\ufffd", exclude_categories=("Cc", "Zl", "Zp")
    ),
    max_size=20,
).map(lambda text: f"n{text}n")
shares = st.floats(0, 1)
moments = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))


@st.composite
def tasks(draw: st.DrawFn) -> Task:
    kind = draw(st.sampled_from(KINDS))
    given: dict[str, Any] = {}
    if draw(st.booleans()):
        given = {
            "label": draw(names),
            "author": draw(names),
            "received_at": draw(st.none() | moments),
        }
    return Task(
        draw(names),
        draw(texts),
        kind=kind,
        probability=draw(st.floats(LEAST_PROBABILITY, 1)) if kind == "sample" else None,
        classifier=draw(st.none() | names),
        version=draw(st.none() | names),
        answer=draw(st.none() | names),
        confidence=draw(st.none() | shares),
        alternatives=tuple(draw(st.lists(st.tuples(names, shares), max_size=3))),
        answered_at=draw(st.none() | moments),
        region=draw(st.none() | names),
        **given,
    )


def written(folder: Path, format: FormatName, some: Sequence[Task]) -> Path:
    file = folder / f"tasks{FORMATS[format].suffix}"
    text = "".join(write_tasks(some, format, labels=["heart", "lung"]))
    file.write_bytes(text.encode())
    return file


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=30)
@given(some=st.lists(tasks(), max_size=4))
def test_what_is_written_is_read_again(format: FormatName, some: list[Task]) -> None:
    with TemporaryDirectory() as folder:
        records = list(read_records(written(Path(folder), format, some), format))
    assert [as_text(record.values) for record in records if isinstance(record, Record)] == [
        as_text(record_of(task)) for task in some
    ]


def as_text(values: Mapping[str, Any]) -> dict[str, str]:
    """The values of a task as a CSV file holds them; other formats keep numbers and lists."""
    plain = {name: values.get(name) for name in COLUMNS}
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in plain.items()
        if value is not None and value != ""
    }


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=30)
@given(some=st.lists(tasks(), min_size=1, max_size=4))
def test_labels_become_feedback_with_their_request(format: FormatName, some: list[Task]) -> None:
    with TemporaryDirectory() as folder:
        lines = list(read_labels(written(Path(folder), format, some), format))
    assert len(lines) == len(some)
    for task, line in zip(some, lines, strict=True):
        if task.label is None:
            assert isinstance(line, Unlabelled)
            continue
        assert isinstance(line, FeedbackRow), line
        assert (line.request_id, line.label, line.author) == (
            task.request_id,
            task.label,
            task.author,
        )
        assert (line.received_at, line.kind, line.probability) == (
            task.received_at,
            task.kind,
            task.probability,
        )


LABELLED = Task(
    "r-1",
    'stabbing <pain> & cough, "left"\nside',
    label="heart",
    author="ada@hospital.example",
    received_at=datetime(2026, 3, 1, 12, tzinfo=UTC),
    kind="sample",
    probability=0.05,
    classifier="organ",
    version="3",
    answer="lung",
    confidence=0.625,
    alternatives=(("heart", 0.25),),
    answered_at=datetime(2026, 2, 1, tzinfo=UTC),
    region="north",
)
OPEN = Task("r-2", "cough", answer="lung", confidence=0.5, version="3")


class TestLabelStudio:
    """By the validation of Label Studio's own SDK."""

    def interface(self) -> Any:
        from label_studio_sdk.label_interface.interface import LabelInterface

        return LabelInterface(labelling_interface(["heart", "lung", 'a "quoted" & <tagged> one']))

    def test_the_labelling_interface_is_valid(self) -> None:
        interface = self.interface()
        interface.validate()
        [choices] = interface.controls
        assert list(choices.labels) == ["heart", "lung", 'a "quoted" & <tagged> one']

    def test_written_tasks_are_valid(self) -> None:
        interface = self.interface()
        labelled, to_label = json.loads("".join(write_tasks([LABELLED, OPEN], "label-studio")))
        assert interface.validate_annotation(labelled["annotations"][0])
        for document in (labelled, to_label):
            assert interface.validate_prediction(document["predictions"][0])
            assert interface.validate_task({"data": document["data"]})
        assert "annotations" not in to_label

    def test_its_validation_can_fail(self) -> None:
        interface = self.interface()
        [document] = json.loads("".join(write_tasks([LABELLED], "label-studio")))
        document["annotations"][0]["result"][0]["value"]["choices"] = ["liver"]
        assert not interface.validate_annotation(document["annotations"][0])
        document["predictions"][0]["result"][0]["from_name"] = "another"
        assert not interface.validate_prediction(document["predictions"][0])

    def test_an_export_of_label_studio_is_read(self, tmp_path: Path) -> None:
        """Annotators by number and by address, one skipped, two of one task, an old draft."""
        choice = {"from_name": "label", "to_name": "text", "type": "choices"}
        exported = [
            {
                "id": 17,
                "data": {
                    "text": "cough",
                    "request_id": "r-1",
                    "kind": "sample",
                    "probability": 0.1,
                },
                "annotations": [
                    {
                        "id": 1,
                        "completed_by": 4,
                        "created_at": "2026-03-01T12:00:00.123456Z",
                        "was_cancelled": False,
                        "result": [{**choice, "value": {"choices": ["lung"]}}],
                    },
                    {
                        "completed_by": {"id": 5, "email": "eve@x.example", "first_name": ""},
                        "result": [{**choice, "value": {"choices": ["heart"]}}],
                    },
                    {"completed_by": 6, "was_cancelled": True, "result": []},
                ],
                "drafts": [],
                "predictions": [],
                "meta": {},
            },
            {"data": {"text": "x", "request_id": "r-2"}, "annotations": [{"result": []}]},
        ]
        file = tmp_path / "export.json"
        file.write_text(json.dumps(exported))
        first, second, skipped, empty = read_labels(file, "label-studio", author="bob")
        assert isinstance(first, FeedbackRow) and isinstance(second, FeedbackRow)
        assert (first.author, first.label, first.kind) == ("label studio user 4", "lung", "sample")
        assert first.received_at == datetime(2026, 3, 1, 12, 0, 0, 123456, UTC)
        assert (second.author, second.label) == ("eve@x.example", "heart")
        assert (skipped, empty) == (Unlabelled(1), Unlabelled(2))


def lines_of(
    folder: Path, format: FormatName, *documents: object, author: str | None = "bob"
) -> Any:
    file = folder / "tool"
    file.write_text("\n".join(json.dumps(document) for document in documents))
    return list(read_labels(file, format, author=author))


def test_what_doccano_exports_is_read(tmp_path: Path) -> None:
    now, before, without = lines_of(
        tmp_path,
        "doccano",
        {"id": 1, "text": "cough", "request_id": "r-1", "label": ["lung"], "Comments": []},
        {"id": 2, "text": "pain", "meta": {"request_id": "r-2"}, "label": ["heart"]},
        {"id": 3, "text": "ache", "request_id": "r-3", "label": []},
    )
    assert (now.request_id, now.label, now.author) == ("r-1", "lung", "bob")
    assert (before.request_id, before.label) == ("r-2", "heart")
    assert without == Unlabelled(3)


def test_what_prodigy_exports_is_read(tmp_path: Path) -> None:
    task = {
        "text": "cough",
        "request_id": "r-1",
        "_annotator_id": "organ-ada",
        "_timestamp": 1772366400,
    }
    chosen, binary, rejected, ignored, unseen = lines_of(
        tmp_path,
        "prodigy",
        {**task, "accept": ["lung"], "answer": "accept"},
        {**task, "label": "heart", "answer": "accept", "_annotator_id": None},
        {**task, "label": "heart", "answer": "reject"},
        {**task, "accept": ["lung", "heart"], "answer": "ignore"},
        {"text": "cough", "request_id": "r-1"},
    )
    assert (chosen.label, chosen.author) == ("lung", "organ-ada")
    assert chosen.received_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert (binary.label, binary.author) == ("heart", "bob")
    assert (rejected, ignored, unseen) == (Unlabelled(3), Unlabelled(4), Unlabelled(5))


def test_prodigy_offers_all_labels_or_the_likeliest() -> None:
    def options(labels: Sequence[str]) -> list[str]:
        [line] = write_tasks([LABELLED], "prodigy", labels=labels)
        return [option["id"] for option in json.loads(line)["options"]]

    assert options(["heart", "liver", "lung"]) == ["heart", "liver", "lung"]
    assert options([]) == ["lung", "heart"]


TASK = {"text": "cough", "request_id": "r-1"}
CHOICE = {"type": "choices", "value": {"choices": ["lung"]}}


@pytest.mark.parametrize(
    ("format", "line", "reason"),
    [
        ("jsonl", "[]", "expected an object, got list"),
        ("jsonl", '{"label": "x"}', "request_id: expected a text that is not empty"),
        ("jsonl", '{"request_id": 7, "label": "x"}', "request_id: expected a text, got 7"),
        ("jsonl", '{"request_id": "r", "label": {}, "author": "a"}', None),
        ("jsonl", '{"request_id": "r", "label": ["x"]}', "label: expected a text"),
        (
            "jsonl",
            '{"request_id": "r\\u0000", "label": "x"}',
            "request_id: expected a text without NUL",
        ),
        ("jsonl", '{"request_id": "r", "label": "\\ud800"}', "label: expected UTF-8"),
        ("jsonl", '{"request_id": "r", "label": "x", "label": "y"}', "label more than once"),
        ("jsonl", '{"request_id": "r", "label": "x", "kind": ["a"]}', "kind: expected one of"),
        (
            "jsonl",
            '{"request_id": "r", "label": "x", "received_at": 7}',
            "received_at: expected ISO",
        ),
        ("jsonl", "[" * 100_000, "expected JSON"),
        ("doccano", json.dumps({**TASK, "label": ["a", "b"]}), "label: expected one, got 2"),
        ("doccano", json.dumps({**TASK, "label": 7}), "expected a list `label`"),
        ("doccano", json.dumps({**TASK, "label": [], "meta": 7}), "an object `meta`"),
        ("doccano", json.dumps({**TASK, "label": [[0, 5, "x"]]}), "label: expected a text"),
        ("doccano", "not JSON", "expected JSON"),
        ("prodigy", json.dumps({**TASK, "answer": "maybe"}), "answer: expected one of accept"),
        ("prodigy", json.dumps({**TASK, "answer": ["x"]}), "answer: expected one of accept"),
        ("prodigy", json.dumps({**TASK, "answer": "accept", "accept": "lung"}), "expected a list"),
        (
            "prodigy",
            json.dumps({**TASK, "answer": "accept", "accept": ["a", "b"]}),
            "accept: expected one label, got 2",
        ),
        (
            "prodigy",
            json.dumps({**TASK, "answer": "accept", "accept": ["a"], "_timestamp": "soon"}),
            "_timestamp: expected seconds",
        ),
        (
            "prodigy",
            json.dumps({**TASK, "answer": "accept", "accept": ["a"], "_timestamp": 1e300}),
            "_timestamp: expected seconds",
        ),
        ("label-studio", json.dumps([7]), "expected a task with `data`"),
        (
            "label-studio",
            json.dumps([{"data": TASK, "annotations": {}}]),
            "a list of `annotations`",
        ),
        ("label-studio", json.dumps([{"data": TASK, "annotations": [7]}]), "a list of `result`"),
        (
            "label-studio",
            json.dumps([{"data": TASK, "annotations": [{"result": [CHOICE, CHOICE]}]}]),
            "expected one choice, got 2",
        ),
        (
            "label-studio",
            json.dumps([{"data": {"text": "x"}, "annotations": [{"result": [CHOICE]}]}]),
            "request_id: expected a text that is not empty",
        ),
        (
            "label-studio",
            json.dumps(
                [{"data": TASK, "annotations": [{"result": [{"type": "choices", "value": 3}]}]}]
            ),
            None,
        ),
    ],
)
def test_a_line_without_sense_is_refused_by_its_number(
    tmp_path: Path, format: FormatName, line: str, reason: str | None
) -> None:
    """None: a task without a label, which is nothing to refuse."""
    file = tmp_path / "tasks"
    good = json.dumps({"text": "x", "phrase": "x", "request_id": "r", "label": []})
    file.write_text(line if format == "label-studio" else f"{good}\n{line}\n")
    last = list(read_labels(file, format, author="bob"))[-1]
    if reason is None:
        assert isinstance(last, Unlabelled)
        return
    assert isinstance(last, Refusal), last
    assert last.row == (1 if format == "label-studio" else 2) and reason in last.reason


@pytest.mark.parametrize("text", ["", "{}", "[", '{"tasks": []}', "\udcff", "[" * 100_000])
def test_a_file_that_is_no_list_of_label_studio_is_refused_whole(tmp_path: Path, text: str) -> None:
    file = tmp_path / "export.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidFeedback, match="a list of tasks in JSON"):
        list(read_labels(file, "label-studio"))


def test_a_label_without_an_author_needs_one(tmp_path: Path) -> None:
    [refused] = lines_of(tmp_path, "doccano", {**TASK, "label": ["lung"]}, author=None)
    assert isinstance(refused, Refusal) and refused.reason.startswith("author: ")
